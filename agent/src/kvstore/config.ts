import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import * as z from 'zod/mini'
import { messageOf } from '../log.ts'
import { didYouMean } from '../text/nearest.ts'

/** What `kvstore-opt` says: the file of etcd's client, or an address for one without TLS. */
export interface KvstoreOptions { 'etcd.config'?: string; 'etcd.address'?: string }

const names = ['etcd.config', 'etcd.address'] as const

/** Reads `etcd.config=FILE`, several split by commas, or the same as a JSON object, as Cilium's ConfigMaps have it from 1.6 on. Throws with what is wrong. */
export function parseKvstoreOptions(text: string): KvstoreOptions {
  const pairs = text.trim().startsWith('{') ? fromJson(text) : text.split(',').filter((part) => part !== '').map(split)
  for (const [name] of pairs) if (!names.some((known) => known === name)) throw new Error(`unknown option ${JSON.stringify(name)}${didYouMean(name, [...names])}; known: ${names.join(', ')}`)
  return Object.fromEntries(pairs)
}

function split(part: string): [string, string] {
  const at = part.indexOf('=')
  if (at < 1) throw new Error(`${JSON.stringify(part)} must be name=value, such as etcd.config=/var/lib/etcd-config/etcd.config`)
  return [part.slice(0, at).trim(), part.slice(at + 1).trim()]
}

function fromJson(text: string): [string, string][] {
  let parsed: unknown
  try { parsed = JSON.parse(text) } catch (error) { throw new Error(`not JSON: ${messageOf(error)}`, { cause: error }) }
  const found = z.record(z.string(), z.string()).safeParse(parsed)
  if (!found.success) throw new Error('must be an object of strings')
  return Object.entries(found.data)
}

/** How etcd is reached. Certificates are PEM. */
export interface EtcdConfig {
  /** `https://host:port`; all with TLS, or none. */
  endpoints: string[]
  ca?: Buffer
  /** What the agent shows: a client certificate. */
  identity?: { cert: Buffer; key: Buffer }
}

/** The YAML of etcd's clients (clientv3/yaml). What else they know (timeouts, users) is left out: an unknown key there is none of ours to judge. */
const file = z.object({
  endpoints: z.array(z.string().check(z.regex(/^https?:\/\/[^/\s]+$/, 'must be a URL such as https://10.0.0.1:2379'))).check(z.minLength(1, 'names no endpoint')),
  'ca-file': z.optional(z.string()), 'trusted-ca-file': z.optional(z.string()), 'cert-file': z.optional(z.string()), 'key-file': z.optional(z.string()),
})

/** Reads what etcd is reached by. Throws with what is wrong and what to do. */
export function readEtcdConfig({ 'etcd.config': path, 'etcd.address': address }: KvstoreOptions): EtcdConfig {
  if (path === undefined && address === undefined) throw new Error('kvstore=etcd: set kvstore-opt to etcd.config=FILE, the configuration of etcd\'s client')
  if (path === undefined) return checked({ endpoints: [address!] }, 'etcd.address')
  const parsed = file.safeParse(yaml(path))
  if (!parsed.success) throw new Error(`${path}: ${parsed.error.issues.map((issue) => `${issue.path.join('.') || 'it'} ${issue.message}`).join('; ')}`)
  const { endpoints, 'ca-file': ca = parsed.data['trusted-ca-file'], 'cert-file': cert, 'key-file': key } = parsed.data
  if ((cert === undefined) !== (key === undefined)) throw new Error(`${path}: cert-file and key-file belong together`)
  return checked({ endpoints, ...(ca === undefined ? {} : { ca: read(ca, 'ca-file') }), ...(cert === undefined ? {} : { identity: { cert: read(cert, 'cert-file'), key: read(key!, 'key-file') } }) }, path)
}

function checked(config: EtcdConfig, from: string): EtcdConfig {
  const secure = config.endpoints.filter((endpoint) => endpoint.startsWith('https://')).length
  if (secure > 0 && secure < config.endpoints.length) throw new Error(`${from}: some endpoints are https and some http; give one sort`)
  if (secure > 0 && config.ca === undefined) throw new Error(`${from}: endpoints are https, so a ca-file must say by whom their certificates are signed`)
  return config
}

function yaml(path: string): unknown {
  const text = read(path, 'etcd.config').toString()
  try { return parse(text) } catch (error) { throw new Error(`${path} is not YAML: ${messageOf(error)}`, { cause: error }) }
}

function read(path: string, what: string): Buffer {
  try { return readFileSync(path) } catch (error) {
    throw new Error(`kvstore: cannot read ${what} ${path}: ${messageOf(error)}; it comes from the ConfigMap's etcd-config or the Secret cilium-etcd-secrets, which the DaemonSet mounts`, { cause: error })
  }
}
