import type { ConntrackEntry, MapFill, ServiceSpec, TunnelEntry } from '../datapath/types.ts'
import type { ConfigModel, EndpointModel, IdentityModel, ServiceAddresses } from '../api/models.ts'
import { toNumber } from '../cluster/cidr.ts'
import { hostPort } from '../text/hostport.ts'
import { tabulate } from '../text/tabwriter.ts'
import type { StatusEntry } from '../endpoint/endpoint.ts'

/** The tables of `cilium`, as Cilium 1.2.5 lays them out, but sorted. */

const isIPv6 = (address: string): boolean => address.split(':').length > 2
/** By address and port; IPv4 before IPv6, which is in the order of its text. */
const byIP = (a: string, b: string): number => (isIPv6(a) || isIPv6(b) ? Number(isIPv6(a)) - Number(isIPv6(b)) : toNumber(a.split(/[:/]/)[0]!) - toNumber(b.split(/[:/]/)[0]!) || Number(a.split(':')[1] ?? 0) - Number(b.split(':')[1] ?? 0)) || (a < b ? -1 : a > b ? 1 : 0)
const byId = (a: { id: number }, b: { id: number }): number => a.id - b.id

export function endpointTable(endpoints: EndpointModel[]): string {
  const head = ['ENDPOINT\tPOLICY (ingress)\tPOLICY (egress)\tIDENTITY\tLABELS (source:key[=value])\tIPv6\tIPv4\tSTATUS\t', '\tENFORCEMENT\tENFORCEMENT\t\t\t\t\t']
  const rows = [...endpoints].sort(byId).flatMap(({ id, status }) => {
    const enabled = status.policy.realized['policy-enabled']
    const mode = (direction: string) => (enabled === 'both' || enabled === direction ? 'Enabled' : 'Disabled')
    const labels = status.labels['security-relevant'].length === 0 ? ['no labels'] : [...status.labels['security-relevant']].sort()
    const identity = status.identity.id === 0 ? '<no label id>' : String(status.identity.id)
    return labels.map((label, i) => (i > 0 ? `\t\t\t\t${label}\t\t\t\t` : [id, mode('ingress'), mode('egress'), identity, label, status.networking.addressing[0]?.ipv6 ?? '', status.networking.addressing[0]?.ipv4 ?? '', status.state, ''].join('\t')))
  })
  return tabulate([...head, ...rows])
}

export function endpointLog(log: StatusEntry[]): string {
  return tabulate(['Timestamp\tStatus\tState\tMessage', ...log.map(({ timestamp, code, state, message }) => `${timestamp}\t${code}\t${state}\t${message}`)])
}

export function identityTable(identities: IdentityModel[]): string {
  return tabulate(['ID\tLABELS', ...[...identities].sort(byId).flatMap(({ id, labels }) => labels.map((label, i) => `${i === 0 ? id : ''}\t${label}`))])
}

export function serviceTable(services: ServiceAddresses[]): string {
  const rows = [...services].sort(byId).flatMap(({ id, 'frontend-address': { ip, port }, 'backend-addresses': backends }) => {
    const list = backends.map((backend, i) => `${i + 1} => ${hostPort(backend.ip, backend.port)}`)
    return [`${id}\t${hostPort(ip, port)}\t${list[0] ?? ''}\t`, ...list.slice(1).map((backend) => `\t\t${backend}\t`)]
  })
  return tabulate(['ID\tFrontend\tBackend\t', ...rows])
}

/** Two columns; further values of a key on rows of their own. */
export function mapTable(titles: [string, string], rows: [key: string, values: string[]][]): string {
  return tabulate([`${titles[0]}\t${titles[1]}\t`, ...rows.flatMap(([key, values]) => values.map((value, i) => `${i === 0 ? key : ''}\t${value}\t`))])
}

export function tunnelTable(entries: TunnelEntry[]): string {
  return mapTable(['TUNNEL', 'VALUE'], [...entries].sort((a, b) => byIP(a.prefix, b.prefix)).map(({ prefix, node }) => [prefix, [node]]))
}

/** A service's entry 0 is its head, with no address. */
export function lbTable(services: ServiceSpec[]): string {
  const rows = services.map(({ id, frontend, backends }): [string, string[]] => [hostPort(frontend.ip, frontend.port), [isIPv6(frontend.ip) ? '[::]:0 (0)' : '0.0.0.0:0 (0)', ...backends.map(({ ip, port }) => `${hostPort(ip, port)} (${id})`)]])
  return mapTable(['SERVICE ADDRESS', 'BACKEND ADDRESS'], rows.sort(([a], [b]) => byIP(a, b)))
}

/** Frontends by what replies are translated by. */
export type Revnat = Record<string, string[]>
export const revnat = (services: ServiceSpec[]): Revnat => Object.fromEntries(services.map(({ id, frontend }) => [String(id), [hostPort(frontend.ip, frontend.port)]]))

export function revnatTable(entries: Revnat): string {
  return mapTable(['ID', 'BACKEND ADDRESS'], Object.entries(entries))
}

/** Nothing is cached of them, and what could not be put in is told by the controller that tried. */
export function mapList(maps: MapFill[]): string {
  return tabulate(['Name\tNum entries\tNum errors\tCache enabled', ...maps.map(({ name, entries }) => `${name}\t${entries}\t0\tfalse`)])
}

export function ipcacheTable(entries: { ip: string; identity: number; node?: string }[]): string {
  if (entries.length === 0) return 'No entries found.\n'
  return mapTable(['IP PREFIX/ADDRESS', 'IDENTITY'], [...entries].sort((a, b) => byIP(a.ip, b.ip)).map(({ ip, identity, node }) => [ip.includes('/') ? ip : `${ip}/${isIPv6(ip) ? 128 : 32}`, [`${identity} ${node ?? '0.0.0.0'}`]]))
}

/** The host's own addresses are entries with id 0. */
export type EndpointMap = { ip: string; id: number; ifindex: number; mac: string; nodeMac: string; identity: number }[]
export function bpfEndpointTable(entries: EndpointMap): string {
  if (entries.length === 0) return 'No entries found.\n'
  const rows = entries.map(({ ip, id, ifindex, mac, nodeMac, identity }): [string, string[]] => {
    const info = `id=${String(id).padEnd(5)} ifindex=${String(ifindex).padEnd(3)} mac=${mac.toUpperCase()} nodemac=${nodeMac.toUpperCase()} seclabel=0x${identity.toString(16)} `
    return [ip, [id === 0 ? '(localhost)' : info]]
  })
  return mapTable(['IP ADDRESS', 'LOCAL ENDPOINT INFO'], rows.sort(([a], [b]) => byIP(a, b)))
}

const protocols: Record<number, string> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6' }
/** Related entries (an ICMP error's) have flag 2 in their tuple. */
export function conntrackList(entries: (ConntrackEntry & { related?: boolean })[]): string {
  const lines = entries.map((it) => {
    const flow = `${protocols[it.protocol] ?? it.protocol} ${it.direction} ${hostPort(it.src, it.srcPort)} -> ${hostPort(it.dst, it.dstPort)} ${it.related === true ? 'related ' : ''}`
    return `${flow} expires=${it.expires} rx_packets=${it.rxPackets} rx_bytes=${it.rxBytes} tx_packets=${it.txPackets} tx_bytes=${it.txBytes} flags=${it.flags.toString(16)} revnat=${it.revnat} src_sec_id=${it.sourceIdentity}`
  })
  return [...lines.sort(), ''].map((line) => line + '\n').join('')
}

export interface PolicyMap { id: number; entries: { direction: 'ingress' | 'egress'; identity: number; port: number; protocol: string; packets: number; bytes: number; proxyPort?: number }[] }
export function policyTable({ entries }: PolicyMap, labels: Map<number, string[]> | undefined): string {
  const sorted = [...entries].sort((a, b) => (a.direction === b.direction ? a.identity - b.identity || a.port - b.port : a.direction === 'ingress' ? -1 : 1))
  const rows = sorted.flatMap(({ direction, identity, port, protocol, packets, bytes, proxyPort = 0 }) => {
    const names = labels?.get(identity) ?? [String(identity)]
    const side = direction === 'ingress' ? 'Ingress' : 'Egress'
    return names.map((name, i) => (i > 0 ? `\t${name}\t\t\t\t\t` : `${side}\t${name}\t${port === 0 ? 'ANY' : `${port}/${protocol}`}\t${proxyPort === 0 ? 'NONE' : proxyPort}\t${bytes}\t${packets}\t`))
  })
  return tabulate([`DIRECTION\t${labels === undefined ? 'IDENTITY' : 'LABELS (source:key[=value])'}\tPORT/PROTO\tPROXY PORT\tBYTES\tPACKETS\t`, ...rows])
}

export function metricsTable(metrics: { reason: number; direction: 'ingress' | 'egress'; packets: number; bytes: number }[]): string {
  const side = { ingress: 1, egress: 2 }
  const rows = [...metrics].sort((a, b) => a.reason - b.reason || side[a.direction] - side[b.direction])
  return mapTable(['KEY', 'COUNT'], rows.map(({ reason, direction, packets, bytes }) => [`reason:${reason} dir:${side[direction]}`, [`count:${packets} bytes:${bytes}`]]))
}

export function configList({ realized, 'k8s-configuration': configuration, 'k8s-endpoint': endpoint, nodeMonitor }: ConfigModel): string {
  const rows = [
    ...Object.entries(realized.options).sort(([a], [b]) => (a < b ? -1 : 1)), ['k8s-configuration', configuration], ['k8s-endpoint', endpoint],
    ['PolicyEnforcement', realized['policy-enforcement']], ['MonitorNumPages', String(nodeMonitor.npages)],
  ] as const
  return optionLines(rows)
}

export const optionLines = (rows: readonly (readonly [string, string])[]): string => rows.map(([name, value]) => `${name.padEnd(24)} ${value}\n`).join('')

export function nodeTable(nodes: { name: string; ipv4: string; podCIDR: string; podCIDR6?: string }[]): string {
  return tabulate(['Name\tIPv4 Address\tEndpoint CIDR\tIPv6 Address\tEndpoint CIDR', ...nodes.map(({ name, ipv4, podCIDR, podCIDR6 }) => `${name}\t${ipv4}\t${podCIDR}\t<nil>\t${podCIDR6 ?? '<nil>'}`).sort()])
}
