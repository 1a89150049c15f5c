import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startAgent, type RunningAgent } from '../agent.ts'
import { answer } from '../cli/answer.ts'
import { withSocket } from '../cli/client.ts'
import { firstAddress } from '../cluster/cidr.ts'
import { internalIP, localIPv6 } from '../cluster/node.ts'
import { readAgentConfig } from '../config/agent.ts'
import { KubeClient } from '../k8s/client.ts'
import { createLogger } from '../log.ts'
import type { ControlPlane } from './control-plane.ts'
import { fakeKernel, openFakeDatapath, type FakeKernel } from './fake-datapath.ts'

/** What the plugin prints: a result or an error. */
export interface CNIOutput { cniVersion?: string; code?: number; msg?: string; ips?: { address: string }[]; interfaces?: { name: string }[] }

/** An agent in this process on a fake kernel, its files in a folder of its own, and the real CNI plugin to call it with. */
export interface TestAgent {
  kernel: FakeKernel; dir: string; socket: string; log: string[]
  datapath: () => ReturnType<typeof openFakeDatapath>
  cni: (command: string, options: { container: string; pod: string; namespace?: string }) => Promise<{ status: number | null; answer: CNIOutput }>
  cilium: (...args: string[]) => Promise<{ code: number | null; out: string }>
  /** The same without a process of its own, as the agent runs it for its small client. */
  answer: (...args: string[]) => Promise<{ code: number; out: string }>
  monitor: (...args: string[]) => { lines: () => string[]; stop: () => void }
  stop: () => Promise<void>
  start: () => Promise<void>
}

/** Compiles the CNI plugin into an agent's folder, which goes with it. */
function buildPlugin(dir: string): string {
  const plugin = join(dir, 'cilium-cni')
  const source = fileURLToPath(new URL('../../client/cilium-cni.c', import.meta.url))
  const { status, stderr } = spawnSync('gcc', ['-static', '-Os', '-o', plugin, source], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`gcc failed: ${stderr}`)
  return plugin
}

/** `more`: settings beside those that every test wants. */
export async function startTestAgent(plane: ControlPlane, nodeName: string, more: readonly string[] = []): Promise<TestAgent> {
  const dir = mkdtempSync(join(tmpdir(), `lash-${nodeName}-`))
  const socket = join(dir, 'cilium.sock')
  const plugin = buildPlugin(dir)
  const kernel = fakeKernel()
  const log: string[] = []
  const tokenFile = join(dir, 'token')
  mkdirSync(join(dir, 'net.d'))
  writeFileSync(tokenFile, await plane.agentToken())
  let datapath: ReturnType<typeof openFakeDatapath> | undefined
  let agent: RunningAgent | undefined
  const start = async () => {
    const config = readAgentConfig([
      `--node-name=${nodeName}`, `--socket-path=${socket}`, `--state-dir=${join(dir, 'state')}`, '--agent-health-port=0', '--cluster-health-port=0', '--identity-gc-interval=1', '--conntrack-gc-interval=1', `--cni-bin-dir=${join(dir, 'bin')}`, `--cni-conf-dir=${join(dir, 'net.d')}`, `--cni-plugin=${plugin}`, ...more,
    ], {}, nodeName)
    agent = await startAgent({
      config, client: new KubeClient({ server: plane.server, ca: plane.ca, tokenFile }), log: createLogger({ debug: true, write: (line) => void log.push(line) }),
      openDatapath: (it) => (datapath = openFakeDatapath(it, kernel)),
      describeNode: (node, wanted) => ({ name: nodeName, ipv4: internalIP(node)!, device: 'eth1', podCIDR: node.spec.podCIDR!, routerIPv4: firstAddress(node.spec.podCIDR!), mtu: 1450, ipv6: localIPv6(wanted, node.spec.podCIDR!) }),
    })
  }
  const cni: TestAgent['cni'] = (command, { container, pod, namespace = 'default' }) => new Promise((resolve) => {
    const env = {
      CILIUM_SOCK: socket, CNI_COMMAND: command, CNI_CONTAINERID: container, CNI_NETNS: `/var/run/netns/${container}`, CNI_IFNAME: 'eth0', CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod};K8S_POD_INFRA_CONTAINER_ID=${container}`,
    }
    const child = spawn(plugin, [], { env, stdio: ['pipe', 'pipe', 'inherit'] })
    let out = ''
    child.stdout.on('data', (chunk) => { out += String(chunk) })
    child.on('close', (status) => resolve({ status, answer: JSON.parse(out) as CNIOutput }))
    child.stdin.end(readFileSync(join(dir, 'net.d/05-cilium.conf')))
  })
  const command = (args: string[]) => spawn(process.execPath, [fileURLToPath(new URL('../cli/main.ts', import.meta.url)), ...args], { env: { CILIUM_SOCK: socket }, stdio: ['ignore', 'pipe', 'pipe'] })
  const cilium: TestAgent['cilium'] = (...args) => new Promise((resolve) => {
    const child = command(args)
    let out = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { out += String(chunk) })
    child.on('close', (code) => resolve({ code, out }))
  })
  const answered: TestAgent['answer'] = async (...args) => {
    const { stdout, stderr, exitCode } = await withSocket(socket, () => answer(args))
    return { code: exitCode, out: stdout + stderr }
  }
  const monitor: TestAgent['monitor'] = (...args) => {
    const child = command(['monitor', ...args])
    let out = ''
    child.stdout.on('data', (chunk) => { out += String(chunk) })
    return { lines: () => out.split('\n').slice(0, -1), stop: () => void child.kill() }
  }
  await start()
  return {
    kernel, dir, socket, log, datapath: () => datapath!, cni, cilium, answer: answered, monitor, start,
    stop: async () => { await agent?.stop(); agent = undefined },
  }
}
