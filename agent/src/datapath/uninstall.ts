import { hasFault } from '../fault.ts'
import { pinFolder, removePins } from './bpffs.ts'
import { removeDevices } from './devices.ts'
import { removePrefilter } from './prefilter.ts'
import type { Netlink } from './netlink.ts'
import { deleteFilter, deleteLink, deleteQdisc, listFilters, listLinks, withNetlink, type Link } from './rtnetlink.ts'

const DIRECTIONS = ['ingress', 'egress'] as const

interface Attached { link: Link; direction: (typeof DIRECTIONS)[number]; program: string }

/** Entry points of agent/bpf/lash.c, as setFilter names them. */
const ENTRY_POINTS = ['from_container', 'from_host', 'from_overlay', 'from_netdev']

function findAttached(netlink: Netlink): Attached[] {
  return listLinks(netlink).flatMap((link) => DIRECTIONS.flatMap((direction) => listFilters(netlink, link.ifindex, direction)
    .flatMap(({ program }) => (program !== undefined && ENTRY_POINTS.includes(program) ? [{ link, direction, program }] : []))))
}

/**
 * Removes every program, map, interface and route. Works without an open datapath, from what is attached and pinned. Programs go before the maps that they
 * need. Kernel parameters stay as they are, and so does a qdisc in which somebody else has filters.
 * @param options.prefilterDevice where the prefilter is, if it is elsewhere than on the node's device
 */
export function uninstallDatapath(bpffs: string, { prefilterDevice }: { prefilterDevice?: string | undefined } = {}): void {
  withNetlink((netlink) => {
    const attached = findAttached(netlink)
    const nodeDevices = attached.filter(({ program, direction }) => program === 'from_netdev' && direction === 'ingress').map(({ link }) => link.name)
    removePrefilter(pinFolder(bpffs), prefilterDevice === undefined ? nodeDevices : [prefilterDevice])
    for (const { link } of attached.filter(({ program }) => program === 'from_container')) deleteLink(netlink, link.ifindex)
    removeDevices(netlink)
    for (const { link, direction } of attached.filter(({ program }) => program === 'from_netdev')) {
      if (hasFault('cleanup-leaves-programs')) continue
      deleteFilter(netlink, link.ifindex, direction)
      if (DIRECTIONS.every((each) => listFilters(netlink, link.ifindex, each).length === 0)) deleteQdisc(netlink, link.ifindex)
    }
  })
  removePins(bpffs)
}
