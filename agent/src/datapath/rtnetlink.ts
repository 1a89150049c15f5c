/** Interfaces, addresses, routes and tc filters by rtnetlink. Each function is one request; errors name it. */
import os from 'node:os'
import { addressBytes, ipv4Text, ipv6Text, isIPv6, macBytes, macText, parseAnyPrefix } from './address.ts'
import { DatapathError, systemError } from './errors.ts'
import { Netlink, NLM_F, decodeAttributes, encodeAttributes, text, u32, u8, type Attribute, type Refusal, type Reply } from './netlink.ts'
import type { TunnelKind } from './types.ts'

const { EBUSY, EEXIST, ENODEV, ENOENT, EINVAL, EOPNOTSUPP, ESRCH, ENOTSUP } = os.constants.errno
const RTM = { newLink: 16, delLink: 17, getLink: 18, setLink: 19, newAddress: 20, getAddress: 22, newRoute: 24, delRoute: 25, getRoute: 26, newNeighbour: 28, newQdisc: 36, delQdisc: 37, newFilter: 44, delFilter: 45, getFilter: 46 } as const
const IFLA = { address: 1, name: 3, mtu: 4, link: 5, linkInfo: 18, afSpec: 26, netnsFd: 28, xdp: 43 } as const
const INFO = { kind: 1, data: 2 } as const
/** IFLA_VXLAN_* and IFLA_GENEVE_*. */
const VXLAN = { learning: 7, port: 15, collectMetadata: 25 } as const
const GENEVE = { port: 5, collectMetadata: 6 } as const
const XDP = { fd: 1, flags: 3 } as const
/** In the driver, or in the stack for any device (both by name from 4.12 on). */
export const XDP_MODE = { generic: 2, native: 4 } as const
const VETH_PEER = 1
const AF_INET = 2, AF_INET6 = 10
const IFF_UP = 1, IFF_NOARP = 0x80

export interface Link { name: string; ifindex: number; mac: string; mtu: number; up: boolean; kind: string | undefined; /** Of a veth device, the other end's index, in whatever namespace that is. */ peer: number | undefined; /** UDP port of a VXLAN or Geneve device. */ tunnelPort: number | undefined }

/** Runs with a socket in the current network namespace. */
export function withNetlink<T>(run: (netlink: Netlink) => T): T {
  const netlink = new Netlink()
  try {
    return run(netlink)
  } finally {
    netlink.close()
  }
}

/** undefined when granted or when the errno is one of those; throws otherwise. */
function expect(what: string, answer: Reply[] | Refusal, ...fine: number[]): void {
  if (!Array.isArray(answer) && !fine.includes(answer.errno)) throw systemError(what, answer.errno)
}

function ifinfo(ifindex = 0, flags = 0, change = 0): Buffer {
  const header = Buffer.alloc(16)
  header.writeInt32LE(ifindex, 4)
  header.writeUInt32LE(flags, 8)
  header.writeUInt32LE(change, 12)
  return header
}

function decodeLink(body: Buffer): Link {
  const attributes = decodeAttributes(body.subarray(16))
  const info = decodeAttributes(attributes.get(IFLA.linkInfo) ?? Buffer.alloc(0))
  const data = decodeAttributes(info.get(INFO.data) ?? Buffer.alloc(0))
  const cString = (value: Buffer | undefined): string | undefined => value?.toString('utf8').replace(/\0.*$/s, '')
  const kind = cString(info.get(INFO.kind))
  return {
    name: cString(attributes.get(IFLA.name)) ?? '', ifindex: body.readInt32LE(4), up: (body.readUInt32LE(8) & IFF_UP) !== 0,
    mac: macText(attributes.get(IFLA.address) ?? Buffer.alloc(6)), mtu: attributes.get(IFLA.mtu)?.readUInt32LE(0) ?? 0,
    kind, peer: attributes.get(IFLA.link)?.readInt32LE(0), tunnelPort: kind === 'vxlan' || kind === 'geneve' ? data.get(TUNNEL[kind].port)?.readUInt16BE(0) : undefined,
  }
}

export function listLinks(netlink: Netlink): Link[] {
  return netlink.dump(RTM.getLink, ifinfo()).map((reply) => decodeLink(reply.body))
}

/** undefined when there is no such interface. */
export function getLink(netlink: Netlink, name: string): Link | undefined {
  const answer = netlink.request(RTM.getLink, 0, ifinfo(), [[IFLA.name, text(name)]])
  if (Array.isArray(answer)) return answer[0] === undefined ? undefined : decodeLink(answer[0].body)
  if (answer.errno === ENODEV) return undefined
  throw systemError(`looking for interface ${name}`, answer.errno)
}

/** Like getLink; throws when there is none. */
export function requireLink(netlink: Netlink, name: string): Link {
  const link = getLink(netlink, name)
  if (link === undefined) throw new DatapathError(`there is no interface ${name}`, { errno: ENODEV })
  return link
}

export interface VethEnd { name: string; mac: string; mtu: number; /** Descriptor of the namespace to make it in. */ netns?: number }

export function addVeth(netlink: Netlink, near: VethEnd, far: VethEnd): void {
  const end = ({ name, mac, mtu, netns }: VethEnd): Attribute[] =>
    [[IFLA.name, text(name)], [IFLA.address, macBytes(mac)], [IFLA.mtu, u32(mtu)], ...(netns === undefined ? [] : [[IFLA.netnsFd, u32(netns)] as Attribute])]
  // The peer's attribute is an ifinfomsg followed by attributes.
  const peer = Buffer.concat([ifinfo(), encodeAttributes(end(far))])
  const answer = netlink.request(RTM.newLink, NLM_F.create | NLM_F.excl, ifinfo(),
    [...end(near), [IFLA.linkInfo, [[INFO.kind, text('veth')], [INFO.data, [[VETH_PEER, peer]]]]]])
  expect(`making veth pair ${near.name} – ${far.name}`, answer)
}

const TUNNEL = {
  vxlan: { name: 'VXLAN', config: 'CONFIG_VXLAN', port: VXLAN.port, settings: [[VXLAN.collectMetadata, u8(1)], [VXLAN.learning, u8(0)]] },
  geneve: { name: 'Geneve', config: 'CONFIG_GENEVE', port: GENEVE.port, settings: [[GENEVE.collectMetadata, Buffer.alloc(0)]] },
} satisfies Record<TunnelKind, { name: string; config: string; port: number; settings: Attribute[] }>

/** Makes a tunnel device whose key and remote end are in each packet's metadata. */
export function addTunnel(netlink: Netlink, kind: TunnelKind, name: string, port: number, mtu: number): void {
  const { name: title, config, port: portAttribute, settings } = TUNNEL[kind]
  const portBytes = Buffer.alloc(2)
  portBytes.writeUInt16BE(port)
  const answer = netlink.request(RTM.newLink, NLM_F.create | NLM_F.excl, ifinfo(), [[IFLA.name, text(name)], [IFLA.mtu, u32(mtu)],
    [IFLA.linkInfo, [[INFO.kind, text(kind)], [INFO.data, [...settings, [portAttribute, portBytes]]]]]])
  if (!Array.isArray(answer) && [EOPNOTSUPP, ENOTSUP, EINVAL].includes(answer.errno))
    throw systemError(`making ${title} device ${name}`, answer.errno, `not supported by this kernel (needs ${config}, and 4.3 for keys by packet)`)
  if (!Array.isArray(answer) && [EEXIST, EBUSY].includes(answer.errno))
    throw systemError(`making ${title} device ${name} on UDP port ${port}`, answer.errno, `another ${title} device has that port: delete it, or set tunnel-port`)
  expect(`making ${title} device ${name} on UDP port ${port}`, answer)
}

export function deleteLink(netlink: Netlink, ifindex: number): void {
  expect(`deleting interface ${ifindex}`, netlink.request(RTM.delLink, 0, ifinfo(ifindex)), ENODEV)
}

/** Up, and without ARP when asked: such a device sends to its own MAC. */
export function setUp(netlink: Netlink, link: Link, options: { noArp?: boolean; mtu?: number } = {}): void {
  const flags = IFF_UP | (options.noArp === true ? IFF_NOARP : 0)
  const attributes: Attribute[] = options.mtu === undefined || options.mtu === link.mtu ? [] : [[IFLA.mtu, u32(options.mtu)]]
  expect(`setting ${link.name} up`, netlink.request(RTM.newLink, 0, ifinfo(link.ifindex, flags, flags), attributes))
}

/** Attaches an XDP program in the place of the one of this mode, or, with -1, removes that. The errno when the kernel refuses. */
export function setXdp(netlink: Netlink, ifindex: number, fd: number, mode: number): number | undefined {
  const answer = netlink.request(RTM.setLink, 0, ifinfo(ifindex), [[IFLA.xdp, [[XDP.fd, u32(fd)], [XDP.flags, u32(mode)]]]])
  return Array.isArray(answer) ? undefined : answer.errno
}

/** No link-local address when it comes up, nor later. The kernel must have IPv6. */
export function disableLinkLocal(netlink: Netlink, link: Link): void {
  const INET6_ADDR_GEN_MODE = 8, NONE = 1
  expect(`keeping ${link.name} without a link-local address`,
    netlink.request(RTM.newLink, 0, ifinfo(link.ifindex), [[IFLA.afSpec, [[AF_INET6, [[INET6_ADDR_GEN_MODE, u8(NONE)]]]]]]))
}

/** A single address. One of IPv6 is usable at once: who else has it is not asked. */
export function addAddress(netlink: Netlink, link: Link, address: string): void {
  const IFA_ADDRESS = 1, IFA_LOCAL = 2, NO_DAD = 2
  const bits = isIPv6(address) ? 128 : 32
  const header = Buffer.from(isIPv6(address) ? [AF_INET6, bits, NO_DAD, 0, 0, 0, 0, 0] : [AF_INET, bits, 0, 0, 0, 0, 0, 0])
  header.writeUInt32LE(link.ifindex, 4)
  expect(`giving ${link.name} address ${address}/${bits}`, netlink.request(RTM.newAddress, NLM_F.create | NLM_F.excl, header,
    [[IFA_LOCAL, addressBytes(address)], [IFA_ADDRESS, addressBytes(address)]]), EEXIST)
}

/** An entry that is never asked for again. */
export function setNeighbour(netlink: Netlink, link: Link, address: string, mac: string): void {
  const NDA_DST = 1, NDA_LLADDR = 2, NUD_PERMANENT = 0x80
  const header = Buffer.alloc(12)
  header.writeUInt8(isIPv6(address) ? AF_INET6 : AF_INET, 0)
  header.writeInt32LE(link.ifindex, 4)
  header.writeUInt16LE(NUD_PERMANENT, 8)
  expect(`making ${address} a neighbour of ${link.name}`, netlink.request(RTM.newNeighbour, NLM_F.create | NLM_F.replace, header, [[NDA_DST, addressBytes(address)], [NDA_LLADDR, macBytes(mac)]]))
}

/** This namespace's own IPv4 addresses, 127.0.0.0/8 left out. */
export function listAddresses(netlink: Netlink): string[] {
  const IFA_LOCAL = 2
  const header = Buffer.alloc(8)
  header.writeUInt8(AF_INET, 0)
  return netlink.dump(RTM.getAddress, header).flatMap(({ body }) => {
    const local = decodeAttributes(body.subarray(8)).get(IFA_LOCAL)
    return local === undefined || local.readUInt8(0) === 127 ? [] : [ipv4Text(local)]
  })
}

/** This namespace's own IPv6 addresses, but those that are of a link only. */
export function listAddresses6(netlink: Netlink): string[] {
  const IFA_ADDRESS = 1
  const header = Buffer.alloc(8)
  header.writeUInt8(AF_INET6, 0)
  return netlink.dump(RTM.getAddress, header).flatMap(({ body }) => {
    const address = decodeAttributes(body.subarray(8)).get(IFA_ADDRESS)
    const text = address?.length === 16 ? ipv6Text(address) : '::1'
    return text === '::1' || /^fe[89ab]/.test(text) ? [] : [text]
  })
}

/** An interface's addresses, `10.244.1.7/32`, in the order that the kernel has them. */
export function addressesOf(netlink: Netlink, link: Link): string[] {
  const IFA_ADDRESS = 1, IFA_LOCAL = 2
  return netlink.dump(RTM.getAddress, Buffer.alloc(8)).filter(({ body }) => body.readUInt32LE(4) === link.ifindex).flatMap(({ body }) => {
    const attributes = decodeAttributes(body.subarray(8))
    const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS)
    return address === undefined ? [] : [`${addressText(address)}/${body.readUInt8(1)}`]
  })
}

const addressText = (bytes: Buffer): string => (bytes.length === 16 ? ipv6Text(bytes) : ipv4Text(bytes))

/** `local`: its addresses are this host's own. */
export interface Route { prefix: string; link: Link; via?: string; source?: string; local?: boolean }

const RTA = { destination: 1, device: 4, gateway: 5, source: 7 } as const
const TABLE_MAIN = 254, UNICAST = 1

/** Where the main table sends to by an interface, `dst` with its length. */
export function routesBy(netlink: Netlink, link: Link): { dst: string; gw?: string }[] {
  return netlink.dump(RTM.getRoute, Buffer.alloc(12)).flatMap(({ body }) => {
    const [family, bits, , , table, , , type] = body
    const attributes = decodeAttributes(body.subarray(12))
    if (table !== TABLE_MAIN || type !== UNICAST || attributes.get(RTA.device)?.readUInt32LE(0) !== link.ifindex) return []
    const gateway = attributes.get(RTA.gateway)
    return [{ dst: `${addressText(attributes.get(RTA.destination) ?? Buffer.alloc(family === AF_INET6 ? 16 : 4))}/${bits}`, ...(gateway === undefined ? {} : { gw: addressText(gateway) }) }]
  })
}

function routeMessage({ prefix, link, via, source, local = false }: Route): { header: Buffer; attributes: Attribute[] } {
  const TABLE_LOCAL = 255, PROTOCOL_STATIC = 4, SCOPE_LINK = 253, SCOPE_HOST = 254, SCOPE_UNIVERSE = 0, LOCAL = 2
  const six = isIPv6(prefix)
  const scope = local ? SCOPE_HOST : via === undefined && !six ? SCOPE_LINK : SCOPE_UNIVERSE
  const { address, bits } = parseAnyPrefix(prefix)
  return {
    header: Buffer.from([six ? AF_INET6 : AF_INET, bits, 0, 0, local ? TABLE_LOCAL : TABLE_MAIN, PROTOCOL_STATIC, scope, local ? LOCAL : UNICAST, 0, 0, 0, 0]),
    attributes: [
      ...(bits === 0 ? [] : [[RTA.destination, address] as Attribute]), [RTA.device, u32(link.ifindex)],
      ...(via === undefined ? [] : [[RTA.gateway, addressBytes(via)] as Attribute]), ...(source === undefined ? [] : [[RTA.source, addressBytes(source)] as Attribute]),
    ],
  }
}

export function setRoute(netlink: Netlink, route: Route): void {
  const { header, attributes } = routeMessage(route)
  expect(`routing ${route.prefix} by ${route.link.name}`, netlink.request(RTM.newRoute, NLM_F.create | NLM_F.replace, header, attributes))
}

export function deleteRoute(netlink: Netlink, route: Route): void {
  const { header, attributes } = routeMessage(route)
  expect(`removing the route to ${route.prefix}`, netlink.request(RTM.delRoute, 0, header, attributes), ESRCH)
}

const CLSACT = { handle: 0xffff0000, parent: 0xfffffff1, ingress: 0xfffffff2, egress: 0xfffffff3 } as const
const FILTER = { handle: 1, priority1AllProtocols: (1 << 16) | 0x0300 } as const

function tcmsg(ifindex: number, handle: number, parent: number, info = 0): Buffer {
  const header = Buffer.alloc(20)
  header.writeInt32LE(ifindex, 4)
  header.writeUInt32LE(handle, 8)
  header.writeUInt32LE(parent, 12)
  header.writeUInt32LE(info >>> 0, 16)
  return header
}

/** Adds the qdisc of programs, unless it is there. `ingress` is what there was before clsact, for ingress only. */
export function addQdisc(netlink: Netlink, ifindex: number, kind: 'clsact' | 'ingress' = 'clsact'): void {
  const TCA_KIND = 1
  expect(`adding qdisc ${kind} to interface ${ifindex}`,
    netlink.request(RTM.newQdisc, NLM_F.create | NLM_F.excl, tcmsg(ifindex, CLSACT.handle, CLSACT.parent), [[TCA_KIND, text(kind)]]), EEXIST)
}

/** Removes clsact, and with it the filters that are there. */
export function deleteQdisc(netlink: Netlink, ifindex: number): void {
  expect(`removing qdisc clsact of interface ${ifindex}`, netlink.request(RTM.delQdisc, 0, tcmsg(ifindex, CLSACT.handle, CLSACT.parent)), ENOENT, EINVAL)
}

/** Filters of clsact in one direction; none where there is no clsact. `program`: what a BPF filter's was called by who attached it. */
export function listFilters(netlink: Netlink, ifindex: number, direction: 'ingress' | 'egress'): { program: string | undefined }[] {
  const TCA_OPTIONS = 2, TCA_BPF_NAME = 7
  return netlink.dump(RTM.getFilter, tcmsg(ifindex, 0, CLSACT[direction])).flatMap(({ body }) => {
    const options = decodeAttributes(body.subarray(20)).get(TCA_OPTIONS)
    // Before each filter the kernel tells its priority, without options.
    return options === undefined ? [] : [{ program: decodeAttributes(options).get(TCA_BPF_NAME)?.toString('utf8').replace(/\0.*$/s, '') }]
  })
}

/** Adds a direct-action filter below a qdisc, or one of its directions, in place of the one before: one request, so no packet goes by unseen. */
function addFilter(netlink: Netlink, ifindex: number, parent: number, program: { name: string; fd: number }): void {
  const TCA_KIND = 1, TCA_OPTIONS = 2
  const TCA_BPF = { fd: 6, name: 7, flags: 8 } as const
  const DIRECT_ACTION = 1
  expect(`attaching BPF program ${program.name} to interface ${ifindex}`, netlink.request(RTM.newFilter, NLM_F.create | NLM_F.replace,
    tcmsg(ifindex, FILTER.handle, parent, FILTER.priority1AllProtocols),
    [[TCA_KIND, text('bpf')], [TCA_OPTIONS, [[TCA_BPF.fd, u32(program.fd)], [TCA_BPF.name, text(program.name)], [TCA_BPF.flags, u32(DIRECT_ACTION)]]]]))
}

/** Attaches a program to the old ingress qdisc, which must be there. */
export const addIngressFilter = (netlink: Netlink, ifindex: number, program: { name: string; fd: number }): void => addFilter(netlink, ifindex, CLSACT.handle, program)

/** Attaches a program to clsact, in place of one attached before. */
export function setFilter(netlink: Netlink, ifindex: number, direction: 'ingress' | 'egress', program: { name: string; fd: number }): void {
  addQdisc(netlink, ifindex)
  addFilter(netlink, ifindex, CLSACT[direction], program)
}

/** Detaches what setFilter attached, if it is there. */
export function deleteFilter(netlink: Netlink, ifindex: number, direction: 'ingress' | 'egress'): void {
  const TCA_KIND = 1
  expect(`detaching the BPF program of interface ${ifindex}`,
    netlink.request(RTM.delFilter, 0, tcmsg(ifindex, FILTER.handle, CLSACT[direction], FILTER.priority1AllProtocols), [[TCA_KIND, text('bpf')]]), ENOENT, EINVAL)
}
