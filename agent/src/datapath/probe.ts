/** What the kernel must have, tried out one by one rather than concluded from its version, so that everything missing is told at once. */
import fs from 'node:fs'
import os from 'node:os'
import { hasFault } from '../fault.ts'
import { createMap, loadProgram } from './bpf.ts'
import type { ElfObject } from './elf.ts'
import { DatapathError, errnoName, KernelLacks, type MissingFeature } from './errors.ts'
import { helperNeeds, mapNeeds, type HelperNeed, type MapNeed } from './needs.ts'
import { inNewNetns } from './netns.ts'
import type { TunnelKind } from './types.ts'
import { addIngressFilter, addQdisc, addTunnel, addVeth, requireLink, withNetlink } from './rtnetlink.ts'

interface Feature extends Omit<MissingFeature, 'answer'> {
  /** The request that tells, as the kernel names it: `RTM_NEWQDISC`. */
  readonly request: string
  /** Throws DatapathError with the kernel's errno when it refuses. */
  readonly attempt: () => void
}

/** Devices are tried in a network namespace of their own: nothing of the node is touched, and nothing has to be removed. */
const DEVICES: readonly Feature[] = [
  { feature: 'veth pairs', since: '2.6.24', request: 'RTM_NEWLINK', attempt: () => withNetlink((netlink) => addVeth(netlink, { name: 'lash0', mac: '02:00:00:00:00:01', mtu: 1500 }, { name: 'lash1', mac: '02:00:00:00:00:02', mtu: 1500 })) },
  { feature: 'tc filter bpf with direct action', since: '4.4', request: 'RTM_NEWTFILTER', attempt: () => withNetlink(tryDirectAction) },
  { feature: 'qdisc clsact', since: '4.5', request: 'RTM_NEWQDISC', attempt: () => withNetlink((netlink) => addQdisc(netlink, requireLink(netlink, 'lo').ifindex)) },
]

const TUNNELS: Readonly<Record<TunnelKind, Pick<Feature, 'feature' | 'advice'>>> = {
  vxlan: { feature: 'VXLAN devices with the key in the packet\'s metadata', advice: 'needs CONFIG_VXLAN' },
  geneve: { feature: 'Geneve devices with the key in the packet\'s metadata', advice: 'needs CONFIG_GENEVE, or set tunnel to vxlan' },
}

const tunnelFeature = (kind: TunnelKind): Feature => ({ ...TUNNELS[kind], since: '4.3', request: 'RTM_NEWLINK', attempt: () => withNetlink((netlink) => addTunnel(netlink, kind, 'lash_tunnel', 8472, 1450)) })

/** On the old ingress qdisc, which is there without clsact too; it is in the place of clsact, so it gets a device of its own. */
function tryDirectAction(netlink: Parameters<typeof addQdisc>[0]): void {
  addVeth(netlink, { name: 'lash2', mac: '02:00:00:00:00:03', mtu: 1500 }, { name: 'lash3', mac: '02:00:00:00:00:04', mtu: 1500 })
  const { ifindex } = requireLink(netlink, 'lash2')
  addQdisc(netlink, ifindex, 'ingress')
  const { fd } = loadProgram('probe', program(), 'GPL')
  try {
    addIngressFilter(netlink, ifindex, { name: 'probe', fd })
  } finally {
    fs.closeSync(fd)
  }
}

const mapFeature = ({ name, since, shape, usedBy }: MapNeed): Feature => ({
  feature: `BPF map type ${name}`, since, usedBy, request: 'BPF_MAP_CREATE', attempt: () => fs.closeSync(createMap('probe', { ...shape, maxEntries: 1 })),
})

const helperFeature = ({ id, name, since, usedBy }: HelperNeed): Feature => ({
  feature: `BPF helper ${name}`, since, usedBy, request: 'BPF_PROG_LOAD', attempt: () => tryHelper(id),
})

/** Called with arguments that hardly any helper takes: the verifier looks for the helper first, and says in its log when there is none. */
function tryHelper(id: number): void {
  try {
    fs.closeSync(loadProgram('probe', program(id), 'GPL', { logBytes: 4096 }).fd)
  } catch (error) {
    if (!(error instanceof DatapathError) || !error.verifierLog || refusedHelper(error) !== undefined) throw error
  }
}

/** What the verifier says of a helper that isn't there: `unknown func 25` (a number up to 4.9), `invalid func 34`, `program of this type cannot use helper …` (6.9). */
const refusedHelper = (error: DatapathError): string | undefined => /^.*(?:unknown func|invalid func|cannot use helper).*$/m.exec(error.verifierLog ?? '')?.[0]

/** `call helper; r0 = 0; exit`, or just the latter. */
function program(helper?: number): Buffer {
  const instruction = (code: number, imm: number): Buffer => {
    const b = Buffer.alloc(8)
    b.writeUInt8(code, 0)
    b.writeInt32LE(imm, 4)
    return b
  }
  const MOV_IMM = 0xb7, CALL = 0x85, EXIT = 0x95
  return Buffer.concat([...(helper === undefined ? [] : [instruction(CALL, helper)]), instruction(MOV_IMM, 0), instruction(EXIT, 0)])
}

/** Tries everything that the object and its devices need; throws KernelLacks when some of it is missing. Lack of privilege is told as such. */
export function requireFeatures(object: ElfObject, tunnel: TunnelKind = 'vxlan'): void {
  const bpf = [...mapNeeds(object).map(mapFeature), ...helperNeeds(object).map(helperFeature)]
  const all = [...DEVICES, tunnelFeature(tunnel)]
  const devices = hasFault('overlooks-missing-clsact') ? all.filter(({ feature }) => feature !== 'qdisc clsact') : all
  const missing = [...inNewNetns(() => devices.flatMap(tryFeature)), ...bpf.flatMap(tryFeature)]
  if (missing.length > 0) throw new KernelLacks(missing)
}

/** Nothing, or what is missing with the kernel's answer. */
function tryFeature({ feature, since, usedBy, advice, request, attempt }: Feature): MissingFeature[] {
  try {
    attempt()
    return []
  } catch (error) {
    if (!(error instanceof DatapathError) || error.errno === undefined || PRIVILEGE.includes(error.errno)) throw error
    const said = refusedHelper(error)
    return [{ feature, since, answer: `${request}: ${errnoName(error.errno)}${said === undefined ? '' : `, ${said}`}`, ...(usedBy === undefined ? {} : { usedBy }), ...(advice === undefined ? {} : { advice }) }]
  }
}

const PRIVILEGE: readonly number[] = [os.constants.errno.EPERM, os.constants.errno.EACCES]
