import fs from 'node:fs'
import path from 'node:path'
import { BpfMap, mapShape, openPinned } from './bpf.ts'
import { pinFolder, removePins } from './bpffs.ts'
import { cpus } from './cpus.ts'
import { removeDevices } from './devices.ts'
import { EndpointMaps, linkOf } from './endpoints.ts'
import { deleteLink, listLinks, withNetlink } from './rtnetlink.ts'

/** Interfaces first: programs go with them. Works without an open datapath, from what is pinned. Kernel parameters stay as they are. */
export function uninstallDatapath(bpffs: string): void {
  withNetlink((netlink) => {
    const links = listLinks(netlink)
    for (const entry of pinnedPods(bpffs)) {
      const link = linkOf(entry, links)
      if (link !== undefined) deleteLink(netlink, link.ifindex)
    }
    removeDevices(netlink)
  })
  removePins(bpffs)
}

function pinnedPods(bpffs: string): ReturnType<EndpointMaps['pods']> {
  const open = (name: string): BpfMap | undefined => {
    const fd = fs.existsSync(pinFolder(bpffs)) ? openPinned(path.join(pinFolder(bpffs), name)) : undefined
    return fd === undefined ? undefined : new BpfMap(name, fd, mapShape(fd), cpus('possible').length)
  }
  const byAddress = open('cilium_lxc'), byInterface = open('cilium_lxc_if'), byAddress6 = open('cilium_lxc6')
  try {
    return byAddress === undefined || byInterface === undefined ? [] : new EndpointMaps(byAddress, byInterface, byAddress6).pods()
  } finally {
    for (const map of [byAddress, byInterface, byAddress6]) if (map !== undefined) fs.closeSync(map.fd)
  }
}
