/** lash's datapath: the BPF object in agent/bpf, put to work without libbpf, bpftool or iproute2, from Linux 4.9 to the newest. */
import fs from 'node:fs'
import { openPinFolder } from './bpffs.ts'
import { prefixLengths } from './cidrs.ts'
import { sizeConntrack } from './conntracksize.ts'
import { cpus } from './cpus.ts'
import { LoadedDatapath } from './datapath.ts'
import { attachNode, ensureDevices } from './devices.ts'
import { parseElf, type ElfObject } from './elf.ts'
import { DatapathError } from './errors.ts'
import { encodeConfig, encodeConfig6, u32Key } from './layouts.ts'
import { loadPrograms, openMaps } from './loader.ts'
import { requireFeatures } from './probe.ts'
import { listAddresses, listAddresses6, setFilter, withNetlink } from './rtnetlink.ts'
import { enableJIT } from './sysctl.ts'
import { raiseMemlock } from './system.ts'
import type { DatapathConfig } from './types.ts'

export { DatapathError, KernelLacks } from './errors.ts'
export { decodeEvent, type MonitorMessage } from './events.ts'
export { uninstallDatapath } from './uninstall.ts'
export { verifierStats } from './verifier.ts'

function readObject(file: string): ElfObject {
  try {
    return parseElf(fs.readFileSync(file), file)
  } catch (cause) {
    if (cause instanceof DatapathError) throw cause
    throw new DatapathError(`reading the BPF object ${file}; compile agent/bpf/lash.c as its first comment says`, { cause })
  }
}

/**
 * Makes the node's devices and maps, loads the programs and attaches them, to the interfaces of known endpoints too. What an earlier
 * process left pinned goes on being used, and its programs serve every packet until the new ones do. Programs outlive this process.
 *
 * Works in the network namespace of the calling thread. Throws DatapathError; KernelLacks, before anything is touched, for a kernel that
 * lacks what the object or its devices need.
 * @param options.stats have the verifier count what it processed, into `programInfo`
 */
export async function openDatapath(config: DatapathConfig, options: { stats?: boolean } = {}): Promise<LoadedDatapath> {
  raiseMemlock()
  const object = readObject(config.objectFile)
  requireFeatures(object, config.tunnel)
  enableJIT()
  const folder = openPinFolder(config.bpffs)
  sizeConntrack(object, folder, config.conntrackEntries ?? 0)
  const possible = cpus('possible').length
  const maps = openMaps(object, folder, possible)
  const programs = loadPrograms(object, maps, folder, possible, options.stats)
  const devices = ensureDevices(config)
  const cidrs = maps.get('cilium_cidr')
  const settings = { ...config, hostIfindex: devices.host.ifindex, hostMac: devices.host.mac, overlayIfindex: devices.overlay.ifindex, prefixLengths: cidrs === undefined ? 0 : prefixLengths(cidrs) }
  maps.get('cilium_config')?.update(u32Key(0), encodeConfig(settings))
  maps.get('cilium_config6')?.update(u32Key(0), encodeConfig6(config.ipv6?.podCIDR))
  const datapath = new LoadedDatapath(config, maps, programs, object.options)
  const addresses6 = config.ipv6 === undefined ? [] : [config.ipv6.router, ...withNetlink(listAddresses6)]
  datapath.setHostAddresses([...new Set([config.routerIPv4, config.nodeIPv4, ...withNetlink(listAddresses), ...addresses6])])
  withNetlink((netlink) => {
    setFilter(netlink, devices.host.ifindex, 'egress', programs.entry('from_host'))
    setFilter(netlink, devices.overlay.ifindex, 'ingress', programs.entry('from_overlay'))
  })
  attachNode(config.nodeDevice, programs.entry('from_netdev'))
  datapath.attachKnownEndpoints()
  programs.commit()
  return datapath
}
