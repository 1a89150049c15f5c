import { spawn } from 'node:child_process'
import { isMachine } from '../cluster/index.ts'
import { usageError } from '../core/errors.ts'
import { openSshShell } from '../machine/index.ts'
import { keptRun, keptRuns, takeDown } from './kept.ts'

/** `npm run shell -- node1 [command…]`. Answers the shell's exit code. */
export async function shell(argv: readonly string[]): Promise<number> {
  const run = keptRun()
  const machines = run.cluster.nodes.filter(isMachine)
  const names = machines.map((candidate) => candidate.name)
  const [name = names[0] ?? 'node1', ...command] = argv
  const node = machines.find((candidate) => candidate.name === name)
  if (!node) throw usageError(`no machine "${name}" in run ${run.id}`, `machines: ${names.join(', ')}`)
  return openSshShell(node, ...command)
}

/** `npm run kubectl -- …`: every argument goes to kubectl as it is. Answers kubectl's exit code. */
export async function kubectl(argv: readonly string[]): Promise<number> {
  const { cluster } = keptRun()
  const child = spawn(cluster.kubectl, ['--kubeconfig', cluster.kubeconfig, ...argv], { stdio: 'inherit' })
  // Ctrl-C is for kubectl, which shares the terminal.
  process.on('SIGINT', () => undefined)
  return new Promise((resolve, reject) => child.once('error', reject).once('close', (code) => resolve(code ?? 130)))
}

/** `npm run down [-- <run id> …]`: removes the runs named, or every run that was left up. */
export async function down(argv: readonly string[]): Promise<number> {
  const up = keptRuns()
  const ids = argv.length ? argv : up
  if (ids.length === 0) process.stdout.write('nothing is up\n')
  for (const id of ids) {
    if (!up.includes(id)) throw usageError(`no run "${id}" is up`, up.length ? `up: ${up.join(', ')}` : 'no cluster is up')
    await takeDown(id)
    process.stdout.write(`removed ${id}\n`)
  }
  return 0
}
