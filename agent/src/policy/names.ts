import { promises as dns } from 'node:dns'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import * as z from 'zod/mini'
import { hasFault } from '../fault.ts'
import { messageOf, type Logger } from '../log.ts'

/** A name is asked for as often as Cilium 1.2 does; an address that it had counts for an hour more, as servers give out now these, now those of many. */
const pollMs = 5_000
const keepMs = 3_600_000
/** Of one name: each is a prefix in the datapath. */
const most = 100

/** By name, and by address when it was last given, in milliseconds since the epoch. */
const saved = z.record(z.string(), z.record(z.string(), z.number()))

type Resolver = Pick<typeof dns, 'resolve4' | 'resolve6'>

/** Addresses of a name, those of IPv6 too with `six`, by the resolver that /etc/resolv.conf names. Throws as node:dns does, but not while one family has an answer. */
export const addressResolver = (six: boolean, { resolve4, resolve6 }: Resolver = dns) => async (name: string): Promise<string[]> => {
  const answers = await Promise.allSettled([resolve4(name), ...(six ? [resolve6(name)] : [])])
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  if (found.length === 0) for (const answer of answers) if (answer.status === 'rejected') throw answer.reason
  return found
}

export interface NamePollerDeps {
  resolve: (name: string) => Promise<string[]>
  /** A name has other addresses than before. */
  changed: () => void
  log: Logger
  /** Where what was found out outlives the agent: its addresses are allowed from the start of the next. */
  file?: string
  pollMs?: number
  now?: () => number
}

/** Asks again and again what addresses the names of rules have. A name that can't be resolved keeps those that it had; of one that never could nothing is allowed. */
export class NamePoller {
  readonly #deps: NamePollerDeps & { pollMs: number; now: () => number }
  /** When each address of a name was last given for it. */
  readonly #names = new Map<string, Map<string, number>>()
  readonly #failing = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #stopped = false

  /** What an agent before has found out. */
  readonly #remembered: ReadonlyMap<string, Record<string, number>>

  constructor(deps: NamePollerDeps) {
    this.#deps = { pollMs, now: Date.now, ...deps }
    this.#remembered = new Map(Object.entries(this.#load()))
  }

  addresses(name: string): string[] {
    const oldest = this.#deps.now() - keepMs
    return [...this.#names.get(name) ?? []].filter(([, seen]) => seen >= oldest).map(([ip]) => ip).sort()
  }

  /** Makes these all the names there are; new ones are asked for at once. */
  watch(names: ReadonlySet<string>): void {
    for (const name of this.#names.keys()) if (!names.has(name)) { this.#names.delete(name); this.#failing.delete(name) }
    const fresh = [...names].filter((name) => !this.#names.has(name))
    for (const name of fresh) this.#names.set(name, new Map(Object.entries(this.#remembered.get(name) ?? {})))
    if (this.#stopped || fresh.length === 0) return
    clearTimeout(this.#timer)
    void this.poll()
  }

  /** Asks for every name once. */
  async poll(): Promise<void> {
    await this.#running
    this.#running = this.#ask()
    await this.#running
    if (!this.#stopped && this.#names.size > 0 && !hasFault('names-asked-once')) {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => void this.poll(), this.#deps.pollMs).unref()
    }
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  async #ask(): Promise<void> {
    const before = this.#said()
    await Promise.all([...this.#names.keys()].map((name) => this.#askFor(name)))
    if (this.#stopped) return
    this.#save()
    if (this.#said() !== before) this.#deps.changed()
  }

  async #askFor(name: string): Promise<void> {
    try {
      const found = await this.#deps.resolve(name)
      const known = this.#names.get(name)
      if (known === undefined) return
      for (const ip of found) if (known.has(ip) || known.size < most) known.set(ip, this.#deps.now())
      for (const [ip, seen] of known) if (seen < this.#deps.now() - keepMs) known.delete(ip)
      this.#failing.delete(name)
    } catch (error) {
      if (this.#names.has(name) && !this.#failing.has(name)) this.#deps.log.warning('Unable to resolve a name of a policy; addresses it had stay allowed', { name, error: messageOf(error) })
      this.#failing.add(name)
    }
  }

  #load(): z.infer<typeof saved> {
    const { file, log } = this.#deps
    if (file === undefined || !existsSync(file)) return {}
    try { return saved.parse(JSON.parse(readFileSync(file, 'utf8'))) } catch (error) {
      log.warning('Unable to read the addresses of names, asking for them anew', { path: file, error: messageOf(error) })
      return {}
    }
  }

  /** In one step, so that a crash leaves the old or the new ones. */
  #save(): void {
    const { file } = this.#deps
    if (file === undefined) return
    try {
      writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries([...this.#names].map(([name, found]) => [name, Object.fromEntries(found)]))))
      renameSync(`${file}.new`, file)
    } catch (error) {
      this.#deps.log.warning('Unable to write down the addresses of names: after a restart they are asked for anew', { path: file, error: messageOf(error) })
    }
  }

  #said(): string { return JSON.stringify([...this.#names.keys()].map((name) => [name, this.addresses(name)])) }
}
