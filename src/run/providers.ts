import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { launchMachine, upVagrant, type Accel, type MachineSpec, type StartedMachine } from '../machine/index.ts'
import { startGuestWire, startWire, type StartedWire } from '../wire/index.ts'
import type { E2eOptions } from './options.ts'
import type { Prepared } from './prepare.ts'
import type { Tell } from './up.ts'

/** Machines that come up, and the network between them. */
interface Starting { readonly machines: readonly Promise<StartedMachine>[]; readonly wire: Promise<StartedWire> }

/** Machines of ours on a wire of ours, each for itself. */
export async function byQemu(prepared: Prepared, options: E2eOptions, savable: boolean, ctx: Context, tell: Tell): Promise<Starting> {
  const wire = await startWire(ctx)
  const started: StartedMachine[] = []
  tell({ wire, machines: started })
  const machines = specsOf(prepared, options, savable, ctx).map((spec) => attached(wire, spec, started, launchMachine(spec, accelOf(prepared, spec), ctx), tell))
  return { machines, wire: Promise.resolve(wire) }
}

/** Machines of Vagrant's, all at once, on a network that only they see. */
export function byVagrant(prepared: Prepared, options: E2eOptions, _savable: boolean, ctx: Context, tell: Tell): Promise<Starting> {
  const specs = specsOf(prepared, options, false, ctx).map((spec) => ({ ...spec, accel: accelOf(prepared, spec) }))
  tell({ machines: [] })
  const all = upVagrant(specs, ctx).then((machines) => {
    tell({ machines })
    return machines
  })
  const wire = all.then(async (machines) => {
    const started = await startGuestWire(machines, ctx)
    tell({ machines, wire: started })
    return started
  })
  // Whoever waits for a machine, or for the cluster, is told first.
  wire.catch(() => undefined)
  return Promise.resolve({ machines: specs.map(async (_spec, i) => (await all)[i]!), wire })
}

/** How a node of the preparation is emulated. */
export const accelOf = ({ nodes }: Prepared, { index }: Pick<MachineSpec, 'index'>): Accel => nodes[index - 1]!.accel

/** Machines as the preparation and the options have them. */
export const specsOf = ({ nodes, image, imagesDisk }: Prepared, options: E2eOptions, savable: boolean, ctx: Context): MachineSpec[] =>
  nodes.map(({ name, kernel, boot, accel }, i) => ({ name, index: i + 1, kernel, image, boot, imagesDisk, wireSocket: join(ctx.sockets, `${name}.wire`), memoryMiB: options.memoryMiB, cpus: options.cpus ?? defaultCpus[accel], savable }))

/** Emulated processors run in turn on one thread (src/machine/qemu.ts), so a second one only makes each wait for the other. */
const defaultCpus: Record<Accel, number> = { kvm: 2, tcg: 1 }

/** Connects a machine to the wire as soon as it is there. */
export async function attached(wire: StartedWire, { name, wireSocket }: MachineSpec, started: StartedMachine[], starting: Promise<StartedMachine>, tell: Tell): Promise<StartedMachine> {
  const machine = await starting
  started.push(machine)
  tell({ wire, machines: started })
  await wire.attach(name, wireSocket)
  return machine
}
