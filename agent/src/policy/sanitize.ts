import { contains, normalized } from '../cluster/cidr.ts'
import { compilePattern, headerRule } from '../proxy/match.ts'
import type { HTTPRule, PortProtocol } from './rule.ts'

/** What is wrong with a rule, in Cilium's words where it has some. */
export class InvalidRule extends Error {}

const invalid = (message: string): never => { throw new InvalidRule(message) }

const entities = new Set(['host', 'world', 'cluster', 'all', 'init', 'health', 'none'])
const portName = /^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/

/** A port as rules have it: a number from 1 to 65535 in decimal, or a name of a container's port. */
export function toPort(port: string | number): string {
  const text = String(port)
  if (text === '') return invalid('Port must be specified')
  if (/^\d+$/.test(text)) {
    if (Number(text) > 65_535) return invalid(`Unable to parse port: strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`)
    if (Number(text) === 0) return invalid('Port cannot be 0')
    return String(Number(text))
  }
  return portName.test(text) ? text : invalid(`Unable to parse port: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`)
}

export function toProtocol(protocol: string | undefined): 'TCP' | 'UDP' | 'ANY' {
  const name = protocol === undefined || protocol === '' ? 'ANY' : protocol.toUpperCase()
  return name === 'TCP' || name === 'UDP' || name === 'ANY' ? name : invalid(`invalid protocol ${JSON.stringify(protocol)}, must be { tcp | udp | any }`)
}

export function toEntity(entity: string): string {
  return entities.has(entity) ? entity : invalid(`unsupported entity: ${entity}`)
}

/** With its host bits cleared; an address is a prefix of all its bits. */
export function toCIDR(cidr: string): string {
  try { return normalized(cidr) } catch { return invalid(`Unable to parse CIDR ${JSON.stringify(cidr)}: not a prefix such as 10.9.0.0/16 or fd00:9::/32`) }
}

export function toCIDRSet({ cidr, except }: { cidr: string; except?: string[] | undefined }): { cidr: string; except?: string[] } {
  const outer = toCIDR(cidr)
  if (except === undefined || except.length === 0) return { cidr: outer }
  const inner = except.map(toCIDR)
  const stray = inner.find((it) => !contains(outer, it))
  return stray === undefined ? { cidr: outer, except: inner } : invalid(`allow CIDR prefix ${outer} does not contain exclude CIDR prefix ${stray}`)
}

/** An echo reply (type 0) comes back without a rule; as a rule's type 0 would mean every type. */
export function toICMPType(type: number | string): number {
  const number = Number(type)
  return Number.isInteger(number) && number >= 1 && number <= 255 ? number : invalid(`invalid ICMP type ${JSON.stringify(type)}, must be 1 to 255 (answers pass without a rule)`)
}

/** Requests are read from TCP alone, at ports that are known. */
export function onlyTCP(ports: PortProtocol[]): void {
  const other = ports.find(({ protocol }) => protocol !== 'TCP')
  if (other !== undefined) invalid(`L7 rules can only apply exclusively to TCP, not ${other.protocol ?? 'ANY'}`)
  if (ports.length === 0) invalid('L7 rules need ports to apply to')
}

export function toHTTPRule(rule: HTTPRule): HTTPRule {
  for (const field of ['method', 'path', 'host'] as const) {
    try { compilePattern(rule[field] ?? '') } catch (error) { invalid(`invalid HTTP ${field} ${JSON.stringify(rule[field])}: ${(error as Error).message}`) }
  }
  const bad = (rule.headers ?? []).find((header) => headerRule(header) === undefined)
  return bad === undefined ? rule : invalid(`invalid HTTP header ${JSON.stringify(bad)}, must be "Name" or "Name value"`)
}

export function toMatchName(name: string): string {
  if (!/^[-a-zA-Z0-9._]+$/.test(name)) return invalid(`Invalid characters in MatchName: ${JSON.stringify(name)}. Only 0-9, a-z, A-Z and . and - characters are allowed`)
  return name.toLowerCase().replace(/\.$/, '')
}

/** Cilium 1.2 takes one kind of peers a rule. `members` are how many each has. */
export function oneKindOfPeers(members: Record<string, number>): void {
  const [first, second] = Object.entries(members).filter(([, count]) => count > 0).map(([name]) => name)
  if (first !== undefined && second !== undefined) invalid(`Combining ${first} and ${second} is not supported yet`)
}
