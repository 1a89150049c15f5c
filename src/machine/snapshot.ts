import { randomBytes } from 'node:crypto'
import { appendFileSync, copyFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { moveFile } from '../core/move-file.ts'
import { inStep } from '../core/progress.ts'
import { startService } from '../core/service.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { runKey } from './keys.ts'
import { machineDir, planMachine, qemuOf, startedMachine } from './launch.ts'
import { assertHostMemory } from './memory.ts'
import { loadState, openQmp, saveState } from './qmp.ts'
import { connectSsh } from './ssh-connect.ts'
import { SshSession } from './ssh-session.ts'
import { overlays } from './storage.ts'
import type { Accel, Machine, MachineHandle, MachineSpec, StartedMachine } from './types.ts'

/** A saved machine: a folder with its memory and devices (`state`), disks' overlays, console, and `machine.json`, which has each file's bytes and checksum (CRC of POSIX cksum). */
const manifestSchema = z.object({ name: z.string(), files: z.record(z.string(), z.object({ bytes: z.number(), sum: z.number() })) })

/**
 * Signals every process of the machine but init, SSH's and this shell. Threads of the kernel have no program.
 * What is frozen takes no processor time from SSH and the control plane while these come back, nor finds them gone.
 */
const signalProcesses = (signal: 'STOP' | 'CONT'): string => `for d in /proc/[0-9]*; do
  p=\${d#/proc/}
  if [ "$p" = 1 ] || [ "$p" = $$ ] || ! [ -e "$d/exe" ]; then continue; fi
  read -r name < "$d/comm" || continue
  [ "$name" = dropbear ] || kill -${signal} "$p" 2> /dev/null || true
done`

/** Freezes the machines' processes, then stops the machines at one moment, as near as their control sockets allow. */
export async function pauseMachines(machines: readonly StartedMachine[], ctx: Context): Promise<void> {
  await Promise.all(machines.map((machine) => machine.exec(signalProcesses('STOP'), { signal: ctx.signal })))
  await Promise.all(machines.map(async ({ handle }) => {
    const qmp = await openQmp(qemuOf(handle).qmpSocket, () => undefined, ctx.signal)
    await qmp.execute('stop').finally(() => qmp.close())
  }))
}

/** Saves a paused machine that was launched as `savable` into a folder, and ends it: its disks move there. */
export async function saveMachine(machine: StartedMachine, dir: string, ctx: Context): Promise<void> {
  const { handle } = machine
  const from = machineDir(handle, ctx)
  const qmp = await openQmp(qemuOf(handle).qmpSocket, () => undefined, ctx.signal)
  await saveState(qmp, `cat > ${shellQuote(join(dir, 'state'))}`, ctx.signal).finally(() => qmp.close())
  await machine.stop()
  for (const name of ['root.qcow2', 'images.qcow2']) if (existsSync(join(from, name))) await moveFile(join(from, name), join(dir, name), ctx)
  copyFileSync(handle.consoleFile, join(dir, 'console.log'))
  copyFileSync(join(ctx.dir, 'ssh', 'id_ed25519'), join(dir, 'id_ed25519'))
  const files = await sums(dir, ['state', 'root.qcow2', 'images.qcow2', 'id_ed25519'].filter((name) => existsSync(join(dir, name))), ctx)
  writeFileSync(join(dir, 'machine.json'), JSON.stringify({ name: handle.name, files }))
}

/** Lets the processes of a restored machine go on, with the time of day. */
export async function thawMachine(machine: Machine, ctx: Context): Promise<void> {
  await machine.exec(`date -u -s @${(Date.now() / 1000).toFixed(3)} > /dev/null\n${signalProcesses('CONT')}`, { signal: ctx.signal })
}

/** Bytes and checksums by name. */
export async function sums(dir: string, names: readonly string[], { signal }: Pick<Context, 'signal'>): Promise<z.infer<typeof manifestSchema>['files']> {
  const { stdout } = await runCommand('cksum', names, { cwd: dir, signal })
  return Object.fromEntries(stdout.trim().split('\n').map((line) => {
    const [sum, bytes, name = ''] = line.split(' ')
    return [name, { bytes: Number(bytes), sum: Number(sum) }]
  }))
}

function filesOf(dir: string): z.infer<typeof manifestSchema>['files'] {
  const manifest = manifestSchema.safeParse(readJson(join(dir, 'machine.json')))
  if (!manifest.success) throw new KernelbedError(`${join(dir, 'machine.json')} is missing or damaged`, { blame: 'host' })
  return manifest.data.files
}

/** Throws when a file of a saved machine has other content than it was saved with. */
export async function assertSums(dir: string, ctx: Pick<Context, 'signal'>): Promise<void> {
  const saved = filesOf(dir)
  for (const [name, { sum }] of Object.entries(await sums(dir, Object.keys(saved), ctx))) {
    if (sum !== saved[name]?.sum) throw new KernelbedError(`${join(dir, name)} has other content than it was saved with`, { blame: 'host' })
  }
}

/** Throws when a file of a saved machine is missing or has another length than it was saved with. */
export function assertWhole(dir: string): void {
  for (const [name, { bytes: size }] of Object.entries(filesOf(dir))) {
    const now = statSync(join(dir, name), { throwIfNoEntry: false })?.size
    if (now !== size) throw new KernelbedError(`${join(dir, name)} ${now === undefined ? 'is missing' : `has ${now} bytes, not the ${size} it was saved with`}`, { blame: 'host' })
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * Starts a machine from a saved one (assertWhole), whose files must be as they were saved, and stay so. The guest gets randomness of its own and the run's SSH key, and connections of its earlier life are closed. All that ran there but SSH
 * stands still until thawMachine. Throws KernelbedError when anything of it fails.
 */
export async function restoreMachine(spec: MachineSpec, accel: Accel, saved: string, ctx: Context): Promise<StartedMachine> {
  assertHostMemory([spec])
  return inStep(ctx.progress, `${spec.name}: restore ${spec.kernel.name} (${accel})`, async (step) => {
    const start = performance.now()
    const dir = machineDir(spec, ctx)
    const images = join(saved, 'images.qcow2')
    const disks = await overlays({ root: join(saved, 'root.qcow2'), ...(existsSync(images) ? { images } : {}) }, 'qcow2', dir, ctx)
    const plan = await planMachine(spec, accel, disks, ctx, true)
    copyFileSync(join(saved, 'console.log'), plan.consoleFile)
    appendFileSync(plan.consoleFile, '\n[kernelbed: restored from a snapshot here]\n')
    for (const path of plan.sockets) rmSync(path, { force: true })
    const service = await startService(ctx.registry, plan.qemu)
    step.update('memory')
    const qmp = await openQmp(plan.qmp, () => service.assertAlive(), ctx.signal)
    try {
      // What is read once for its checksum is in memory for QEMU, and the other way round.
      await Promise.all([loadState(qmp, `cat < ${shellQuote(join(saved, 'state'))}`, ctx.signal), assertSums(saved, ctx)])
      await qmp.execute('cont')
    } finally {
      qmp.close()
    }
    step.update('SSH')
    const session = await wake(plan.ssh, saved, ctx)
    return startedMachine(spec, accel, plan, { service, session, bootMs: performance.now() - start })
  })
}

/**
 * The first connection is made with the key that the machine was saved with, and goes on as its session; later ones have the run's own. Connections of its earlier
 * life are dropbear's children that are not ours: their peers are gone, but they can't know.
 */
async function wake(ssh: MachineHandle['ssh'], saved: string, ctx: Context): Promise<SshSession> {
  const client = await connectSsh({ ...ssh, keyFile: join(saved, 'id_ed25519') }, { signal: ctx.signal })
  const session = new SshSession(ssh, client)
  const command = await session.start('ME=$PPID sh -s', ctx.signal)
  command.stdout.resume()
  let errors = ''
  command.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  command.stdin.end(`set -e
echo ${randomBytes(64).toString('base64')} > /dev/urandom
echo 'ssh-ed25519 ${runKey(ctx).publicBlob} kernelbed' > /root/.ssh/authorized_keys
for p in $(pidof dropbear); do
  [ "$p" = "$ME" ] && continue
  read -r _ _ _ parent _ < /proc/$p/stat || continue
  [ "$parent" = 1 ] || kill "$p" 2> /dev/null || true
done
`)
  const { exitCode } = await command.done
  if (exitCode !== 0) throw new KernelbedError(`the restored machine could not be set up (exit code ${exitCode ?? 'none'})`, { blame: 'hypervisor', details: errors })
  return session
}
