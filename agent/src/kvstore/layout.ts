import * as z from 'zod/mini'
import type { EndpointRecord } from '../endpoint/endpoint.ts'
import { formatLabel, parseLabel, type Labels } from '../identity/labels.ts'

/** Where Cilium 1.2 keeps what lash keeps too. */
export const prefixes = {
  all: 'cilium/state/',
  /** `id/1234` → labels. They have no lease: they outlive their users, until one that nobody uses is collected. */
  id: 'cilium/state/identities/v1/id/',
  /** `value/<labels>/<node's address>` → 1234, under that node's lease: the node uses the identity. */
  value: 'cilium/state/identities/v1/value/',
  /** `default/<pod's address>` → which identity it has and behind which node it is, under that node's lease. */
  ip: 'cilium/state/ip/v1/default/',
} as const

export const idKey = (id: number): string => `${prefixes.id}${id}`
/** All nodes' keys for these labels begin with it. */
export const usersPrefix = (labels: string): string => `${prefixes.value}${labels}/`
export const userKey = (labels: string, node: string): string => usersPrefix(labels) + node
export const ipKey = (ip: string): string => prefixes.ip + ip

/** Labels as keys and values have them: `source:key=value;` of each, by key, in base64 for URLs. */
export function encodeLabels(labels: Labels): string {
  const sorted = labels.map(parseLabel).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  const text = sorted.map(({ source, key, value }) => `${source}:${key}=${value};`).join('')
  return Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

/** Undefined for what is none. */
export function decodeLabels(text: string): Labels | undefined {
  const labels = Buffer.from(text, 'base64url').toString()
  if (!/^([^:;]*:[^=;]+=[^;]*;)+$/.test(labels)) return undefined
  return labels.slice(0, -1).split(';').map(parseLabel).map(({ source, key, value }) => formatLabel(source, key, value)).sort()
}

/** Who uses an identity: the labels and the node of a key under `value/`. */
export function userOf(rest: string): { labels: string; node: string } | undefined {
  const at = rest.lastIndexOf('/')
  return at < 1 ? undefined : { labels: rest.slice(0, at), node: rest.slice(at + 1) }
}

const pair = z.object({ IP: z.string(), HostIP: z.string(), ID: z.int() })

/** What a node tells of an address of its endpoint. */
export const pairOf = ({ id, identity, pod }: EndpointRecord, ip: string, node: { name: string; ipv4: string }): string =>
  JSON.stringify({ IP: ip, Mask: null, HostIP: node.ipv4, ID: identity, Metadata: `cilium-global:default:${node.name}:${id}`, K8sNamespace: pod.namespace, K8sPodName: pod.name })

/** Undefined for what is none. */
export function parsePair(text: string): { ip: string; node: string; identity: number } | undefined {
  let parsed: unknown
  try { parsed = JSON.parse(text) } catch { return undefined }
  const found = pair.safeParse(parsed)
  return found.success ? { ip: found.data.IP, node: found.data.HostIP, identity: found.data.ID } : undefined
}
