import { createHash } from 'node:crypto'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import type { Context } from '../core/context.ts'
import { usageError } from '../core/errors.ts'
import { ensureBootFiles, ensureBox, ensureGuestImage, ensureHostTools, ensureKubernetes, type Box } from '../image/index.ts'
import { checkKernelSpec, resolveKernel } from '../kernels/index.ts'
import { chooseAccel, planMachines, runKey, sessionDaemon, sessionIn, type Accel, type VagrantPlan } from '../machine/index.ts'
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

const nameOf = (i: number): string => `node${i + 1}`

/**
 * `npm run box -- --kernel 6.1`: makes a box of Vagrant's with this kernel and prints where it is. With `--machines FILE`, as the project's Vagrantfile calls it, writes the plan of the
 * machines that the environment asks for. Throws usage errors.
 */
export async function box(argv: readonly string[]): Promise<number> {
  const program = parseFlags(new Command('npm run box --')
    .description('Makes a Vagrant box (libvirt) of the guest image and a kernel.')
    .option('--kernel <name|path>', 'catalogue line (6.1), a path, or name=path', '6.1')
    .option('--machines <file>', "for the Vagrantfile: write the plan of the machines that the environment's KERNELBED_… ask for")
    .option('--names-only', 'for the Vagrantfile: only how the machines are called', false), argv)
  if (!program) return 0
  const { kernel, machines, namesOnly } = program.opts<{ kernel: string; machines?: string; namesOnly: boolean }>()
  if (machines === undefined) checkKernelSpec(kernel, {})
  const asked = byHand(process.env)
  if (machines !== undefined && namesOnly) {
    write(machines, { prefix: '', machines: Array.from({ length: asked.nodes }, (_, i) => ({ name: nameOf(i) })) })
    return 0
  }
  return inSession(async ({ ctx }) => {
    if (machines === undefined) process.stdout.write(`${(await boxOf(kernel, ctx)).box.file}\n`)
    else write(machines, await planByHand(asked, dirname(resolve(machines)), ctx))
    return 0
  })
}

async function boxOf(spec: string, ctx: Context): Promise<{ readonly box: Box; readonly accel: Accel }> {
  await ensureHostTools(ctx)
  const kernel = await resolveKernel(spec, {}, ctx)
  const image = await ensureGuestImage(await ensureKubernetes(undefined, ctx), ctx)
  return { box: await ensureBox({ kernel, image, boot: await ensureBootFiles(kernel, ctx) }, ctx), accel: await chooseAccel(ctx, kernel) }
}

/** Ports and names are the same each time, by the folder of the project, as machines that are there go on with them. */
async function planByHand({ kernels, nodes, memoryMiB, cpus }: ByHand, dir: string, ctx: Context): Promise<VagrantPlan & { readonly daemon?: object }> {
  await ensureHostTools(ctx, 'vagrant')
  const made = new Map<string, Awaited<ReturnType<typeof boxOf>>>()
  for (const kernel of new Set(kernels)) made.set(kernel, await boxOf(kernel, ctx))
  const mark = createHash('sha256').update(projectDir).digest('hex')
  const first = 20000 + (parseInt(mark.slice(0, 6), 16) % 300) * 30
  const specs = Array.from({ length: nodes }, (_, i) => {
    const { box: itsBox, accel } = made.get(kernels[i % kernels.length]!)!
    const console = join(dir, nameOf(i), 'console.log')
    mkdirSync(dirname(console), { recursive: true })
    return { name: nameOf(i), index: i + 1, memoryMiB, cpus: cpus ?? (accel === 'kvm' ? 2 : 1), accel, box: itsBox, console, ports: { ssh: first + i * 3, link: { first: first + i * 3 + 1, own: first + i * 3 + 2 } } }
  })
  return { ...libvirtOf(ctx), prefix: `kb-${mark.slice(0, 4)}-`, machines: planMachines(specs, runKey({ dir })) }
}

/** A user has a session of libvirt's; for root, who has none, there is one in the cache that the Vagrantfile starts. */
function libvirtOf({ cache }: Context): { readonly uri: string; readonly owner?: number; readonly pool?: string; readonly daemon?: object } {
  if (process.getuid?.() !== 0) return { uri: process.env['LIBVIRT_DEFAULT_URI'] ?? 'qemu:///session' }
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
