import { rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { createInterface } from 'node:readline/promises'
import { isGiven } from '../config/flags.ts'
import { AgentError, get, socketPath, withSocket } from './client.ts'
import { CommandError, type Action } from './command.ts'

/** `cilium cleanup`: takes the agent off a node where it runs no more. */
export const cleanup: Action = {
  short: 'Reset the agent state',
  flags: { force: { type: 'bool', short: 'f', usage: 'Skip confirmation' } },
  run: async (parsed) => {
    // Read only for this: the command line is started often.
    const [{ readAgentConfig }, { uninstallDatapath }, { removeCNI }] = await Promise.all([import('../config/agent.ts'), import('../datapath/uninstall.ts'), import('../endpoint/cniconfig.ts')])
    const config = readAgentConfig([], process.env, hostname())
    const socket = process.env['CILIUM_SOCK'] ?? config['socket-path']
    await withSocket(socket, refuseWhileAgentRuns)
    const { 'bpf-root': bpffs, 'state-dir': stateDir, 'cni-bin-dir': binDir, 'cni-conf-dir': confDir } = config
    process.stdout.write([
      'Warning: Destructive operation. You are about to remove:',
      '- the interfaces and routes of the agent, and those of all pods on this node', '- BPF programs on other interfaces, the prefilter\'s too', `- all BPF maps in ${bpffs}/tc/globals`,
      `- endpoint state in ${stateDir}, the socket ${socket}`, `- CNI configuration in ${confDir || 'no folder'}, the CNI plugin in ${binDir || 'no folder'}`, '',
    ].join('\n'))
    if (!isGiven(parsed, 'force') && !await confirmed()) return 'Nothing is removed.\n'
    // In this order: kubelet sends no more pods here, nothing handles packets any more, and then what it was kept for goes.
    const failed = [
      ['CNI', () => removeCNI({ binDir, confDir })],
      ['datapath', () => uninstallDatapath(bpffs, { prefilterDevice: config['prefilter-device'] || undefined })],
      ['state', () => { for (const path of [stateDir, socket]) rmSync(path, { recursive: true, force: true }) }],
    ].flatMap(([what, remove]) => {
      try { (remove as () => void)(); return [] } catch (error) { return [`${what as string}: ${(error as Error).message}`] }
    })
    if (failed.length > 0) throw new CommandError(`not all could be removed; run it again once this is mended:\n${failed.join('\n')}`)
    return 'All of it is removed.\n'
  },
}

/** By its socket, which answers from the agent's start on. A file that a killed agent has left answers nothing. */
async function refuseWhileAgentRuns(): Promise<void> {
  try { await get('/v1/version') } catch (error) {
    if (error instanceof AgentError && error.unreachable) return
  }
  throw new CommandError(`Agent should not be running when cleaning up\nIt answers at ${socketPath()}: delete its DaemonSet first, then run this in a pod of its own (docs/uninstall.md)`)
}

async function confirmed(): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  try { return await lines.question('The command is non-revertible, do you want to continue [y/N]?\n') === 'y' } finally { lines.close() }
}
