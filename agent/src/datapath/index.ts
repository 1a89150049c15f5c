/** lash's datapath: the BPF object in agent/bpf, put to work without libbpf, bpftool or iproute2, from Linux 4.9 to the newest. */
import { openPinFolder } from './bpffs.ts'
import type { BpfMap } from './bpf.ts'
import { prefixLengths } from './cidrs.ts'
import { sizeConntrack } from './conntracksize.ts'
import { cpus } from './cpus.ts'
import { LoadedDatapath } from './datapath.ts'
import { attachNode, ensureDevices } from './devices.ts'
import { readElf } from './elf.ts'
import { encodeConfig, encodeConfig6, u32Key } from './layouts.ts'
import { carryOver, loadPrograms, openMaps, type OpenMaps, type Replacement } from './loader.ts'
import { requireFeatures } from './probe.ts'
import { listAddresses, listAddresses6, setFilter, withNetlink } from './rtnetlink.ts'
import { enableJIT } from './sysctl.ts'
import { raiseMemlock } from './system.ts'
import type { DatapathConfig } from './types.ts'

export { DatapathError, KernelLacks } from './errors.ts'
export { decodeEvent, type MonitorMessage } from './events.ts'
export { uninstallDatapath } from './uninstall.ts'
export { verifierStats } from './verifier.ts'

/**
 * Makes the node's devices and maps, loads the programs and attaches them, to the interfaces of known endpoints too. What an earlier
 * process left pinned goes on being used, and its programs serve every packet until the new ones do. Programs outlive this process.
 *
 * A pinned map of another shape is replaced, its entries copied where they are of the same size. Where they aren't, or there was no such map, and the control
 * plane has to fill it, `attach` is left to it: the programs before go on with the maps before until then, and for good if these programs are refused.
 *
 * Works in the network namespace of the calling thread. Throws DatapathError; KernelLacks, before anything is touched, for a kernel that
 * lacks what the object or its devices need.
 * @param options.stats have the verifier count what it processed, into `programInfo`
 */
export async function openDatapath(config: DatapathConfig, options: { stats?: boolean } = {}): Promise<LoadedDatapath> {
  raiseMemlock()
  const object = readElf(config.objectFile)
  requireFeatures(object, config.tunnel)
  enableJIT()
  const folder = openPinFolder(config.bpffs)
  sizeConntrack(object, folder, config.conntrackEntries ?? 0)
  const possible = cpus('possible').length
  const opened = openMaps(object, folder, possible)
  const { maps } = opened
  const programs = loadOrClose(opened, () => loadPrograms(object, maps, folder, possible, options.stats))
  const carried = opened.replaced.map((each) => ({ ...each, ...(each.alike ? carryOver(each) : { kept: 0, lost: 0 }) }))
  const devices = ensureDevices(config)
  const cidrs = maps.get('cilium_cidr')
  const settings = { ...config, hostIfindex: devices.host.ifindex, hostMac: devices.host.mac, overlayIfindex: devices.overlay.ifindex, prefixLengths: cidrs === undefined ? 0 : prefixLengths(cidrs) }
  maps.get('cilium_config')?.update(u32Key(0), encodeConfig(settings))
  maps.get('cilium_config6')?.update(u32Key(0), encodeConfig6(config.ipv6?.podCIDR))
  const attach = (): void => {
    withNetlink((netlink) => {
      setFilter(netlink, devices.host.ifindex, 'egress', programs.entry('from_host'))
      setFilter(netlink, devices.overlay.ifindex, 'ingress', programs.entry('from_overlay'))
    })
    attachNode(config.nodeDevice, programs.entry('from_netdev'))
    datapath.attachKnownEndpoints()
    // What the programs before have written meanwhile.
    for (const each of opened.replaced) if (each.alike && WRITTEN_BY_PROGRAMS.test(each.map.name)) carryOver(each)
    opened.commit()
    programs.commit()
  }
  const datapath: LoadedDatapath = new LoadedDatapath(config, maps, programs, { options: object.options, notes: carried.map(noteOf), attach })
  const addresses6 = config.ipv6 === undefined ? [] : [config.ipv6.router, ...withNetlink(listAddresses6)]
  datapath.setHostAddresses([...new Set([config.routerIPv4, config.nodeIPv4, ...withNetlink(listAddresses), ...addresses6])])
  if (opened.empty.every((name) => EMPTY_AT_FIRST.test(name))) datapath.attach()
  return datapath
}

/** Flows: nobody else can write them anew. */
const WRITTEN_BY_PROGRAMS = /^cilium_(ct|proxy|lb\d_affinity)/
/** Maps that programs fill, or that are full again as soon as the datapath is open. */
const EMPTY_AT_FIRST = /^cilium_(ct|proxy|lb\d_affinity|metrics|events|config)/

function loadOrClose<T>(maps: OpenMaps, load: () => T): T {
  try { return load() } catch (error) {
    maps.close()
    throw error
  }
}

const sizesOf = ({ shape: { keySize, valueSize, maxEntries } }: BpfMap): string => `${maxEntries} entries of ${keySize} + ${valueSize} bytes`

function noteOf({ map, old, alike, kept, lost }: Replacement & { kept: number; lost: number }): string {
  const what = `${map.name} had ${sizesOf(old)} and has ${sizesOf(map)} now`
  if (!alike) return `${what}: what was in it is ${WRITTEN_BY_PROGRAMS.test(map.name) ? 'lost' : 'made anew'}`
  return `${what}: ${kept} were kept${lost === 0 ? '' : `, ${lost} had no room`}`
}
