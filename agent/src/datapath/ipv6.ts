/** IPv6 on the devices of nodes and pods. */
import fs from 'node:fs'
import type { Netlink } from './netlink.ts'
import { disableLinkLocal, type Link } from './rtnetlink.ts'
import { getSysctl, setSysctl } from './sysctl.ts'

/**
 * IPv6 on an interface, with no address but those that are given to it: without a link-local one it neither solicits routers
 * nor tells groups, which would all be dropped packets of a pod.
 */
export function enableIPv6(netlink: Netlink, link: Link): void {
  disableLinkLocal(netlink, link)
  setSysctl(`ipv6/conf/${link.name}/accept_ra`, '0')
  setSysctl(`ipv6/conf/${link.name}/disable_ipv6`, '0')
}

/** Makes this namespace a router, as Cilium does. A router takes no other router's word unless told to go on: interfaces that did so far do. */
export function forwardIPv6(): void {
  if (getSysctl('ipv6/conf/all/forwarding') === '1') return
  for (const device of fs.readdirSync('/proc/sys/net/ipv6/conf').filter((name) => name !== 'all'))
    if (getSysctl(`ipv6/conf/${device}/accept_ra`) === '1') setSysctl(`ipv6/conf/${device}/accept_ra`, '2')
  setSysctl('ipv6/conf/all/forwarding', '1')
}
