import type { PolicyAllow, Protocol } from '../datapath/types.ts'
import type { HTTPRule } from './rule.ts'

/** What a policy opens to an identity; with `http` to requests that one of the rules matches. */
export interface Allow extends Omit<PolicyAllow, 'proxyPort'> { http?: HTTPRule[] }

/** As an identity. */
export const anyone = 0

type Where = Pick<Allow, 'identity' | 'port' | 'protocol'>
const keyOf = ({ identity, port, protocol }: Where): string => `${identity}/${port}/${protocol}`

/** Open to what either is open to. */
function united(a: Allow, b: Allow): Allow {
  const { http: one, ...where } = a
  if (one === undefined || b.http === undefined) return where
  return { ...where, http: [...new Map([...one, ...b.http].map((rule) => [JSON.stringify(rule), rule])).values()] }
}

/**
 * The same by the fewest entries, sorted. The datapath goes by the first entry that it finds, that of an identity and port before more general ones
 * (agent/bpf/lib/policy.h): so an entry with requests has all that other entries allow its identity there, and one that may use all ports anyhow gets
 * an entry for a port at which others are asked for requests.
 */
export function normalize(list: Allow[]): Allow[] {
  const all = new Map<string, Allow>()
  for (const allow of list) { const old = all.get(keyOf(allow)); all.set(keyOf(allow), old === undefined ? allow : united(old, allow)) }
  const given = new Map(all)
  const isOpen = (where: Where) => { const found = given.get(keyOf(where)); return found !== undefined && found.http === undefined }
  const allPorts = (identity: number, protocol: Protocol) => isOpen({ identity, port: 0, protocol }) || isOpen({ identity, port: 0, protocol: 'ANY' })
  for (const [key, allow] of given) {
    if (allow.http === undefined) continue
    const { identity, port, protocol } = allow
    const general = given.get(keyOf({ identity: anyone, port, protocol }))
    if (allPorts(identity, protocol) || allPorts(anyone, protocol)) all.set(key, { identity, port, protocol })
    else if (general !== undefined) all.set(key, united(allow, general))
    if (identity !== anyone || allPorts(anyone, protocol)) continue
    for (const { identity: other } of given.values()) if (other !== anyone && allPorts(other, protocol)) all.set(keyOf({ identity: other, port, protocol }), { identity: other, port, protocol })
  }
  const needed = [...all.values()].filter((allow) => {
    const general = allow.identity === anyone ? undefined : all.get(keyOf({ ...allow, identity: anyone }))
    return general === undefined || (general.http !== undefined && JSON.stringify(united(general, allow).http) !== JSON.stringify(general.http))
  })
  return needed.sort((a, b) => a.identity - b.identity || a.port - b.port || (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : 0))
}

/** What of a policy's list an identity may do at a port (0: at every port): everything, some requests, or nothing (undefined). The datapath's order (agent/bpf/lib/policy.h). */
export function openTo(list: Allow[] | undefined, identity: number, port: number, protocol: Protocol = 'TCP'): { http?: HTTPRule[] } | undefined {
  if (list === undefined) return {}
  const find = (who: number, at: number, of: Protocol) => list.find((it) => it.identity === who && it.port === at && it.protocol === of)
  for (const [at, of] of [[port, protocol], [0, protocol], [0, 'ANY']] as const) {
    const found = find(identity, at, of) ?? find(anyone, at, of)
    if (found !== undefined) return found.http === undefined ? {} : { http: found.http }
  }
  return undefined
}
