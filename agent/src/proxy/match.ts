import { RE2JS } from 're2js'
import { hasFault } from '../fault.ts'
import type { HTTPRule } from '../policy/rule.ts'

/** What of a request rules look at. `path` has the query in it. */
export interface RequestFacts { method: string; path: string; host: string; /** As they came: name, value, name, value. */ rawHeaders: readonly string[] }

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * Whether all of a text matches. RE2's syntax, as Cilium's own check of rules has it; its time is linear in the text, so that no request can stall the
 * agent. An empty pattern matches everything. Throws with what is wrong with the pattern.
 */
export function compilePattern(pattern: string): (text: string) => boolean {
  if (pattern === '') return () => true
  const compiled = RE2JS.compile(pattern)
  return (text) => compiled.matches(text)
}

/** `Name value` (or `Name: value`) and `Name`, as Cilium takes them; undefined for anything else. */
export function headerRule(text: string): { name: string; value?: string } | undefined {
  const blank = text.indexOf(' ')
  const name = (blank < 0 ? text : text.slice(0, blank)).replace(/:+$/, '').toLowerCase()
  if (!token.test(name)) return undefined
  return blank < 0 ? { name } : { name, value: text.slice(blank + 1).trim() }
}

/** A request's path as it stands, and without dot segments and needless escapes: a server may read either. */
function pathsOf(path: string): string[] {
  if (!path.startsWith('/')) return [path]
  const { pathname, search } = new URL(`http://host${path}`)
  const plain = pathname.replace(/%([0-9a-f]{2})/gi, (escape, hex: string) => { const letter = String.fromCharCode(Number.parseInt(hex, 16)); return /[A-Za-z0-9._~-]/.test(letter) ? letter : escape })
  return [...new Set([path, plain + search])]
}

/** Made once for a rule, used for every request. */
export function compileRule(rule: HTTPRule): (request: RequestFacts) => boolean {
  const [method, path, host] = [compilePattern(hasFault('l7-allows-any-method') ? '' : rule.method ?? ''), compilePattern(rule.path ?? ''), compilePattern(rule.host ?? '')]
  const headers = (rule.headers ?? []).flatMap((text) => headerRule(text) ?? [])
  return (request) => method(request.method) && host(request.host) && pathsOf(request.path).every(path) && headers.every((wanted) => hasHeader(request.rawHeaders, wanted))
}

function hasHeader(raw: readonly string[], { name, value }: { name: string; value?: string }): boolean {
  return raw.some((text, i) => i % 2 === 0 && text.toLowerCase() === name && (value === undefined || raw[i + 1] === value))
}

/** Rules by what they say: the same few are asked for with every change of policy. */
export class RuleCache {
  readonly #compiled = new Map<string, (request: RequestFacts) => boolean>()

  matches(rule: HTTPRule, request: RequestFacts): boolean {
    const key = JSON.stringify(rule)
    const known = this.#compiled.get(key)
    if (known !== undefined) return known(request)
    if (this.#compiled.size >= 1000) this.#compiled.clear()
    const made = compileRule(rule)
    this.#compiled.set(key, made)
    return made(request)
  }
}
