import { createWriteStream, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CommandError } from '../../core/command.ts'
import type { Context } from '../../core/context.ts'
import { explain, KernelbedError } from '../../core/errors.ts'
import { ownerVariable, processesOf, processStartTime } from '../../core/owned.ts'
import { leasePort } from '../../core/ports.ts'
import { inStep, type Step } from '../../core/progress.ts'
import type { Claim } from '../../core/registry.ts'
import { makeThinBox } from '../../image/index.ts'
import { wireAddress, wireMac } from '../addresses.ts'
import { panicError, type BootError } from '../boot.ts'
import { ConsoleFile, bootPhase } from '../console.ts'
import { runKey } from '../keys.ts'
import { machineDir } from '../launch.ts'
import { machineOver } from '../machine.ts'
import { assertHostMemory } from '../memory.ts'
import { connectSsh } from '../ssh-connect.ts'
import { SshSession } from '../ssh-session.ts'
import type { Accel, MachineHandle, MachineSpec, StartedMachine } from '../types.ts'
import { assertPlugin, vagrant, vagrantEnv } from './command.ts'
import { startLibvirt } from './libvirt.ts'
import { planMachines, type VagrantPlan, type VagrantSpec } from './plan.ts'
import { noteMachines, removeStale } from './stale.ts'

/** A machine, but for what is QEMU's own: Vagrant has no socket of a wire, and saves nothing. */
export type VagrantMachineSpec = Omit<MachineSpec, 'wireSocket' | 'wirePeer' | 'savable'> & { readonly accel: Accel }

/** From `vagrant up` to SSH on every machine, emulated and on a busy host. */
const UP_MS = 10 * 60_000

/**
 * Makes machines by Vagrant and libvirt: `vagrant up` with the project's Vagrantfile, in a Vagrant and a libvirt of the run's own, which are destroyed with it. Machines that an earlier run
 * was killed over are removed first. Throws KernelbedError: what Vagrant said, or the console of a machine that does not boot.
 */
export async function upVagrant(specs: readonly VagrantMachineSpec[], ctx: Context): Promise<StartedMachine[]> {
  assertHostMemory(specs)
  for (const line of await removeStale(ctx)) ctx.progress.note(line)
  const names = specs.map(({ name }) => name)
  const dir = join(ctx.dir, 'vagrant')
  return inStep(ctx.progress, `vagrant up ${names.join(' ')}`, async (step) => {
    const start = performance.now()
    step.update('libvirtd')
    noteMachines(names, [dir, ctx.sockets], ctx)
    const folder = ctx.registry.claim('folder of Vagrant', () => rmSync(dir, { recursive: true, force: true }))
    folder.hold({ kind: 'path', path: dir })
    const session = await startLibvirt(ctx)
    const provided = await provide(specs, dir, ctx)
    const key = runKey(ctx)
    const owner = process.env[ownerVariable]
    // libvirt gives QEMU an environment of its own; by this mark its processes are found as the run's.
    const plan: VagrantPlan = { ...session, pool: join(dir, 'disks'), prefix: 'kb-', machines: planMachines(provided, key, owner === undefined ? {} : { [ownerVariable]: owner }) }
    mkdirSync(join(dir, 'disks'), { recursive: true })
    writeFileSync(join(dir, 'machines.json'), JSON.stringify(plan, undefined, 2))
    const env = vagrantEnv(dir, join(dir, 'machines.json'))
    await assertPlugin(env, ctx.signal)
    const claim = ctx.registry.claim(`Vagrant machines ${names.join(', ')}`, () => destroy(env, ctx))
    await up(plan, env, claim, step, ctx)
    return Promise.all(specs.map((spec, i) => started(spec, provided[i]!, key.file, start, ctx)))
  })
}

/** Boxes, consoles and ports of the machines; one after the other, as machines of one kernel have one box. */
async function provide(specs: readonly VagrantMachineSpec[], dir: string, ctx: Context): Promise<VagrantSpec[]> {
  const provided: VagrantSpec[] = []
  for (const spec of specs) {
    const ports = { ssh: await leasePort(ctx), link: { first: await leasePort(ctx), own: await leasePort(ctx) } }
    provided.push({ ...spec, box: await makeThinBox(spec, join(dir, 'boxes'), ctx), console: join(machineDir(spec, ctx), 'console.log'), ports })
  }
  return provided
}

/** `vagrant up`, watched: a kernel that panics is not waited for. */
async function up({ machines }: VagrantPlan, env: Readonly<Record<string, string>>, claim: Claim, step: Step, ctx: Context): Promise<void> {
  const log = createWriteStream(join(ctx.dir, 'logs', 'vagrant.log'), { flags: 'a' })
  const ended = new AbortController()
  const failed = new AbortController()
  const watching = watchConsoles(machines, ended.signal).then((panic) => {
    if (panic) failed.abort()
    return panic
  })
  try {
    await vagrant(['up', '--no-destroy-on-error'], env, {
      timeoutMs: UP_MS, signal: AbortSignal.any([ctx.signal, failed.signal]),
      onLine: (line) => {
        log.write(`${line}\n`)
        if (/\S/.test(line)) step.update(line.trim().slice(0, 100))
      },
      hint: `all that Vagrant said: ${join(ctx.dir, 'logs', 'vagrant.log')}`,
    })
  } catch (error) {
    ended.abort()
    const panic = await watching
    if (panic) throw panic
    throw ctx.signal.aborted ? error : explained(error, machines)
  } finally {
    ended.abort()
    log.end()
    holdQemu(claim)
  }
}

/** QEMU's processes are libvirt's children: held so that they end when the run does, and when it was kept and is taken down. */
function holdQemu(claim: Claim): void {
  const owner = process.env[ownerVariable]
  for (const pid of owner === undefined ? [] : processesOf(owner)) {
    const startTime = processStartTime(pid)
    if (startTime !== undefined && isQemu(pid)) claim.hold({ kind: 'process', pid, startTime, group: false })
  }
}

function isQemu(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]!.includes('qemu-system')
  } catch {
    return false
  }
}

async function watchConsoles(machines: VagrantPlan['machines'], signal: AbortSignal): Promise<BootError | undefined> {
  const consoles = machines.map(({ name, console }) => ({ name, console: new ConsoleFile(console) }))
  while (!signal.aborted) {
    for (const { name, console } of consoles) {
      console.poll()
      const phase = bootPhase(console.text)
      if (phase.at === 'panic') return panicError(name, phase.message, console)
    }
    await delay(300, undefined, { signal }).catch(() => undefined)
  }
  return undefined
}

/** Vagrant's own words, and the consoles' last lines. */
function explained(error: unknown, machines: VagrantPlan['machines']): unknown {
  if (!(error instanceof CommandError)) return error
  const tails = machines.map(({ name, console }) => `console of ${name}:\n${new ConsoleFile(console).tail(8) || '(nothing)'}`)
  return new KernelbedError(`vagrant up failed (${error.message.replace(/:.*/s, '')})`, { blame: 'hypervisor', details: [error.details, ...tails].filter(Boolean).join('\n'), ...(error.hint === undefined ? {} : { hint: error.hint }) })
}

/** Destroys the machines as Vagrant does it; those that it can't, because it was stopped half-way, end with their processes. */
async function destroy(env: Readonly<Record<string, string>>, ctx: Context): Promise<void> {
  await vagrant(['destroy', '-f'], env).catch((error: unknown) => ctx.progress.note(`vagrant could not destroy its machines, so their processes are ended: ${explain(error).split('\n')[0]}`))
  const owner = process.env[ownerVariable]
  if (owner === undefined) return
  for (const pid of processesOf(owner).filter(isQemu)) process.kill(pid, 'SIGKILL')
}

async function started(spec: VagrantMachineSpec, { ports, console }: VagrantSpec, keyFile: string, start: number, ctx: Context): Promise<StartedMachine> {
  const { name, release, line } = spec.kernel
  const ssh = { host: '127.0.0.1', port: ports.ssh, user: 'root', keyFile }
  const handle: MachineHandle = { name: spec.name, index: spec.index, kernel: { name, release, line }, address: wireAddress(spec.index), mac: wireMac(spec.index), accel: spec.accel, ssh, consoleFile: console }
  const session = new SshSession(ssh, await connectSsh(ssh, { signal: ctx.signal }))
  // One machine of Vagrant's is not stopped alone: the run's end destroys all.
  return { ...machineOver(session, handle), bootMs: performance.now() - start, stop: async () => session.close() }
}
