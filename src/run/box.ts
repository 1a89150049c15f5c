import { createHash } from 'node:crypto'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Command, Option } from 'commander'
import type { Context } from '../core/context.ts'
import { usageError } from '../core/errors.ts'
import { ensureBootFiles, ensureBox, ensureGuestImage, ensureHostTools, ensureKubernetes, ensureVirtualBoxBox, type Box } from '../image/index.ts'
import { checkKernelSpec, resolveKernel, type Kernel } from '../kernels/index.ts'
import { assertLibvirt, assertVirtualBox, chooseAccel, newEd25519Key, planMachines, planVirtualBox, runKey, sessionDaemon, sessionIn, type Accel, type VagrantPlan, type VirtualBoxPlan } from '../machine/index.ts'
import { parseFlags } from './flags.ts'
import { projectDir } from './places.ts'
import { inSession } from './session.ts'

/** What a person asks of `vagrant up`, by the environment. */
export interface ByHand { readonly kernels: readonly string[]; readonly nodes: number; readonly memoryMiB: number; readonly cpus: number | undefined }

/** Reads KERNELBED_KERNEL, _NODES, _MEMORY and _CPUS. Throws usage errors. */
export function byHand(env: NodeJS.ProcessEnv): ByHand {
  const whole = (name: string, min: number, max: number): number | undefined => {
    const text = env[name]
    if (text === undefined || text === '') return undefined
    const value = Number(text)
    if (!Number.isInteger(value) || value < min || value > max) throw usageError(`${name}=${text}: takes a whole number from ${min} to ${max}`)
    return value
  }
  const kernels = (env['KERNELBED_KERNEL'] ?? '').split(',').map((kernel) => kernel.trim()).filter(Boolean)
  for (const kernel of kernels) checkKernelSpec(kernel, {})
  return { kernels: kernels.length ? kernels : ['6.1'], nodes: whole('KERNELBED_NODES', 1, 9) ?? Math.max(2, kernels.length), memoryMiB: whole('KERNELBED_MEMORY', 512, 65536) ?? 1536, cpus: whole('KERNELBED_CPUS', 1, 16) }
}

/** Who runs machines of Vagrant's. */
const providers = ['libvirt', 'virtualbox'] as const
type Provider = (typeof providers)[number]

const nameOf = (i: number): string => `node${i + 1}`

/**
 * `npm run box -- --kernel 6.1 [--provider virtualbox]`: makes a box of Vagrant's with this kernel and prints where it is. With `--machines FILE`, as the project's Vagrantfile calls it, writes the plan of the
 * machines that the environment asks for. Throws usage errors.
 */
export async function box(argv: readonly string[]): Promise<number> {
  const program = parseFlags(new Command('npm run box --')
    .description('Makes a Vagrant box of the guest image and a kernel.')
    .option('--kernel <name|path>', 'catalogue line (6.1), a path, or name=path', '6.1')
    .addOption(new Option('--provider <name>', 'whose box it is').choices(providers).default('libvirt'))
    .option('--machines <file>', "for the Vagrantfile: write the plan of the machines that the environment's KERNELBED_… ask for")
    .option('--names-only', 'for the Vagrantfile: only how the machines are called', false), argv)
  if (!program) return 0
  const { kernel, provider, machines, namesOnly } = program.opts<{ kernel: string; provider: Provider; machines?: string; namesOnly: boolean }>()
  if (machines === undefined) checkKernelSpec(kernel, {})
  const asked = byHand(process.env)
  if (machines !== undefined && namesOnly) {
    write(machines, { prefix: '', machines: Array.from({ length: asked.nodes }, (_, i) => ({ name: nameOf(i) })) })
    return 0
  }
  // Vagrant would notice only when the box, which takes minutes, is made.
  if (machines !== undefined && provider === 'virtualbox') assertVirtualBox()
  if (machines !== undefined && provider === 'libvirt' && process.getuid?.() !== 0) assertLibvirt(usersUri())
  return inSession(async ({ ctx }) => {
    if (machines === undefined) process.stdout.write(`${(await boxOf(kernel, provider, ctx)).file}\n`)
    else write(machines, await (provider === 'virtualbox' ? virtualBoxByHand : libvirtByHand)(asked, dirname(resolve(machines)), ctx))
    return 0
  })
}

async function boxOf(spec: string, provider: Provider, ctx: Context): Promise<Box & { readonly kernel: Kernel }> {
  await ensureHostTools(ctx)
  if (provider === 'virtualbox') await ensureHostTools(ctx, 'boot disk')
  const kernel = await resolveKernel(spec, {}, ctx)
  const parts = { kernel, image: await ensureGuestImage(await ensureKubernetes(undefined, ctx), ctx), boot: await ensureBootFiles(kernel, ctx) }
  return { ...(provider === 'virtualbox' ? await ensureVirtualBoxBox(parts, () => newEd25519Key('kernelbed'), ctx) : await ensureBox(parts, ctx)), kernel }
}

/** What the machines of both providers have. Ports and names are the same each time, by the folder of the project, as machines that are there go on with them. */
async function machinesByHand({ kernels, nodes, memoryMiB }: ByHand, provider: Provider, dir: string, ctx: Context) {
  const made = new Map<string, Awaited<ReturnType<typeof boxOf>>>()
  for (const kernel of new Set(kernels)) made.set(kernel, await boxOf(kernel, provider, ctx))
  const mark = createHash('sha256').update(projectDir).digest('hex')
  const first = 20000 + (parseInt(mark.slice(0, 6), 16) % 300) * 30
  const specs = Array.from({ length: nodes }, (_, i) => {
    const { kernel, ...itsBox } = made.get(kernels[i % kernels.length]!)!
    const console = join(dir, nameOf(i), 'console.log')
    mkdirSync(dirname(console), { recursive: true })
    return { name: nameOf(i), index: i + 1, memoryMiB, kernel, box: itsBox, console, port: first + i * 3 }
  })
  return { prefix: `kb-${mark.slice(0, 4)}-`, specs }
}

async function libvirtByHand(asked: ByHand, dir: string, ctx: Context): Promise<VagrantPlan & { readonly daemon?: object }> {
  await ensureHostTools(ctx, 'vagrant')
  const { prefix, specs } = await machinesByHand(asked, 'libvirt', dir, ctx)
  const accels = new Map<Kernel, Accel>()
  for (const { kernel } of specs) if (!accels.has(kernel)) accels.set(kernel, await chooseAccel(ctx, kernel))
  const machines = specs.map(({ kernel, port, ...spec }) => {
    const accel = accels.get(kernel)!
    return { ...spec, accel, cpus: asked.cpus ?? (accel === 'kvm' ? 2 : 1), ports: { ssh: port, link: { first: port + 1, own: port + 2 } } }
  })
  return { ...libvirtOf(ctx), prefix, machines: planMachines(machines, runKey({ dir })) }
}

/** VirtualBox has the processor's own virtualisation, or does not start a machine. */
async function virtualBoxByHand(asked: ByHand, dir: string, ctx: Context): Promise<VirtualBoxPlan> {
  const { prefix, specs } = await machinesByHand(asked, 'virtualbox', dir, ctx)
  return planVirtualBox(specs.map((spec) => ({ ...spec, cpus: asked.cpus ?? 2 })), prefix)
}

const usersUri = (): string => process.env['LIBVIRT_DEFAULT_URI'] ?? 'qemu:///session'

/** A user has a session of libvirt's; for root, who has none, there is one in the cache that the Vagrantfile starts. */
function libvirtOf({ cache }: Context): { readonly uri: string; readonly owner?: number; readonly pool?: string; readonly daemon?: object } {
  if (process.getuid?.() !== 0) return { uri: usersUri() }
  const { env, socket, ...session } = sessionIn(join(cache, 'lv'))
  const pool = join(cache, 'lv', 'disks')
  mkdirSync(pool, { recursive: true })
  return { ...session, pool, daemon: { env, socket, command: sessionDaemon() } }
}

function write(file: string, plan: object): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.part`, JSON.stringify(plan, undefined, 2))
  renameSync(`${file}.part`, file)
}
