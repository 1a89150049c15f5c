import { z } from 'zod'
import { hostPort } from '../core/host-port.ts'
import { identityNumber } from '../monitor/index.ts'

/** Rows of a table as Cilium's command line prints it (Go's tabwriter, columns padded by at least 2 spaces), by column title. */
export type Row = Readonly<Record<string, string>>

/**
 * Cuts a column table at the positions of its titles; a value may hold single spaces. Continuation rows (first column empty) keep empty
 * cells. `headerLines` is 2 for `cilium endpoint list`, whose titles go on in a second line.
 */
export function parseTable(text: string, headerLines = 1): Row[] {
  const lines = text.split('\n').map((line) => line.trimEnd()).filter((line) => line !== '')
  const header = lines[0]
  if (header === undefined) return []
  const starts = [...header.matchAll(/\S+(?: \S+)*/g)].map((found) => ({ title: found[0], at: found.index }))
  return lines.slice(headerLines).map((line) => Object.fromEntries(starts.map(({ title, at }, i) => [title, line.slice(at, starts[i + 1]?.at).trim()])))
}

/** Address and port, as `10.96.0.1:80`, `[fd00::1]:80`; a protocol or a trailing `/TCP` is left out. */
export const addressOf = (text: string): string => text.trim().replace(/\/(tcp|udp|any|none)$/i, '')

export interface TunnelRow { readonly prefix: string; readonly node: string }

/** `cilium bpf tunnel list`: rows `10.244.1.0:0   192.168.77.12:0` (1.x) or `10.244.1.0/24   192.168.77.12`; ports, mask and trailing words are left out. */
export function parseTunnelList(text: string): TunnelRow[] {
  const bare = (cell: string): string => (cell.split(/\s+/)[0] ?? '').replace(/\/\d+$/, '').replace(/^([\d.]+):\d+$/, '$1').replace(/^\[(.*)\]:\d+$/, '$1')
  return parseTable(text).flatMap((row) => (row['TUNNEL'] && row['VALUE'] ? [{ prefix: bare(row['TUNNEL']), node: bare(row['VALUE']) }] : []))
}

export interface ServiceRow { readonly frontend: string; readonly backends: readonly string[]; readonly id?: number; readonly protocol?: string }

const address = z.looseObject({ ip: z.string().optional(), port: z.number().optional(), protocol: z.string().optional() })
const spec = z.looseObject({ id: z.number().optional(), 'frontend-address': address.optional(), 'backend-addresses': z.array(address).nullish() })
const serviceJson = z.array(z.looseObject({ spec: spec.optional(), status: z.looseObject({ realized: spec.optional() }).optional() }))

/** `cilium service list -o json`: what the agent has realized, sorted. */
export function parseServiceJson(text: string): ServiceRow[] {
  const show = (a: z.infer<typeof address>): string => hostPort(a.ip ?? '', a.port ?? 0)
  return serviceJson.parse(JSON.parse(text)).flatMap((service) => {
    const realized = service.status?.realized ?? service.spec
    const frontend = realized?.['frontend-address']
    if (!realized || !frontend) return []
    return [{ frontend: show(frontend), backends: (realized['backend-addresses'] ?? []).map(show).sort(), ...(realized.id === undefined ? {} : { id: realized.id }), ...(frontend.protocol === undefined ? {} : { protocol: frontend.protocol.toLowerCase() }) }]
  })
}

/** Rows with their continuation rows: `key` is the column whose emptiness marks a continuation, `value` the column gathered. */
function gather(rows: readonly Row[], key: string, value: string): { row: Row; values: string[] }[] {
  const groups: { row: Row; values: string[] }[] = []
  for (const row of rows) {
    if (row[key]) groups.push({ row, values: [] })
    if (row[value]) groups.at(-1)?.values.push(row[value])
  }
  return groups
}

/** `cilium service list` as a table: backends `1 => 10.0.0.1:80`, one a row. */
export function parseServiceTable(text: string): ServiceRow[] {
  return gather(parseTable(text), 'Frontend', 'Backend').map(({ row, values }) => ({
    frontend: addressOf(row['Frontend'] ?? ''),
    backends: values.map((backend) => addressOf(backend.replace(/^\d+ => /, '').split(/\s/)[0] ?? '')).sort(),
    ...(row['ID'] ? { id: Number(row['ID']) } : {}),
  }))
}

/**
 * `cilium bpf lb list`: `ip:port (revnat)` one a row; the master entry `0.0.0.0:0 (0)` is left out. Later versions put the slot behind both addresses, and the frontend into each row.
 */
export function parseLbList(text: string): ServiceRow[] {
  const rows = parseTable(text.replace(/^(.*BACKEND ADDRESS)( \(REVNAT_ID\) \(SLOT\))/, (_, title: string, rest: string) => title + ' '.repeat(rest.length)))
  const byFrontend = Map.groupBy(gather(rows, 'SERVICE ADDRESS', 'BACKEND ADDRESS'), ({ row }) => (row['SERVICE ADDRESS'] ?? '').replace(/ \(\d+\)$/, ''))
  return [...byFrontend].map(([frontend, groups]) => ({ frontend, values: groups.flatMap(({ values }) => values) })).map(({ frontend, values }) => ({
    frontend: addressOf(frontend),
    backends: values.map((backend) => addressOf(backend.split(/\s/)[0] ?? '')).filter((backend) => !/^(0\.0\.0\.0|\[::\]):0$/.test(backend)).sort(),
  }))
}

export interface EndpointRow {
  readonly id: number
  readonly identity: number
  readonly labels: readonly string[]
  readonly ipv4?: string
  readonly ipv6?: string
  readonly state: string
  readonly ingressEnforced?: boolean
  readonly egressEnforced?: boolean
}

/** `cilium endpoint list`: two header lines, further labels on continuation rows. */
export function parseEndpointTable(text: string): EndpointRow[] {
  const labels = 'LABELS (source:key[=value])'
  return gather(parseTable(text, 2), 'ENDPOINT', labels).map(({ row, values }) => ({
    id: Number(row['ENDPOINT']),
    identity: identityNumber(row['IDENTITY']) ?? 0,
    labels: values,
    ...(row['IPv4'] ? { ipv4: row['IPv4'] } : {}),
    ...(row['IPv6'] ? { ipv6: row['IPv6'] } : {}),
    state: row['STATUS'] ?? '',
    ingressEnforced: /^enabled/i.test(row['POLICY (ingress)'] ?? ''),
    egressEnforced: /^enabled/i.test(row['POLICY (egress)'] ?? ''),
  }))
}

const identityJson = z.array(z.looseObject({ id: z.number(), labels: z.array(z.string()).nullish() }))

/** `cilium identity list -o json`. */
export const parseIdentityJson = (text: string): { id: number; labels: readonly string[] }[] =>
  identityJson.parse(JSON.parse(text)).map(({ id, labels }) => ({ id, labels: labels ?? [] }))
