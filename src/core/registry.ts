import { KernelbedError } from './errors.ts'

/** Something that outlives a function: a process, a folder, a socket, a machine. Plain data, so that the reaper can end it too. */
export type Owned =
  | { readonly kind: 'process'; readonly pid: number; /** Field 22 of /proc/PID/stat: tells a re-used pid from the one we started. */ readonly startTime: string; /** End the whole process group. */ readonly group: boolean }
  | { readonly kind: 'path'; readonly path: string }
  /** A program that ends what is not on this host. For the reaper: the claim's own release ends it while the runner lives. */
  | { readonly kind: 'command'; readonly argv: readonly [string, ...string[]] }

export interface Claim {
  readonly name: string
  /** Adds what the claim now holds; told to the reaper at once. */
  hold(owned: Owned): void
  /** Ends it now; idempotent. */
  release(): Promise<void>
}

/** Hears what is held, so that it can be cleaned up if this process dies (see reaper.ts). */
export interface Guard {
  hold(owned: Owned): void
  drop(owned: Owned): void
}

interface Entry { readonly name: string; readonly release: () => Promise<void>; released: boolean; readonly held: Owned[]; readonly child?: Registry }

/**
 * Owner of everything a run starts. A resource is claimed before it starts, released in reverse order; every release is tried and
 * the errors are gathered into one AggregateError.
 */
export class Registry {
  readonly #entries: Entry[] = []
  readonly #guard: Guard | undefined

  constructor(guard?: Guard) {
    this.#guard = guard
  }

  /** Claims a resource that is about to start; `release` ends it and must not fail when the start never happened. */
  claim(name: string, release: () => Promise<void> | void): Claim {
    const entry: Entry = { name, release: async () => release(), released: false, held: [] }
    this.#entries.push(entry)
    return {
      name,
      hold: (owned) => {
        entry.held.push(owned)
        this.#guard?.hold(owned)
      },
      release: () => this.#release(entry),
    }
  }

  /** A registry within this one, for an attempt that may be given up: its `releaseAll` ends what the attempt started, and so does this one's. */
  child(name: string): Registry {
    const child = new Registry(this.#guard)
    this.#entries.push({ name, release: () => child.releaseAll(), released: false, held: [], child })
    return child
  }

  /** What is held now, newest last. */
  get held(): readonly { readonly name: string; readonly owned: readonly Owned[] }[] {
    return this.#entries.filter((entry) => !entry.released).flatMap((entry) => entry.child?.held ?? [{ name: entry.name, owned: entry.held }])
  }

  async releaseAll(): Promise<void> {
    const errors: unknown[] = []
    for (const entry of [...this.#entries].reverse()) {
      await this.#release(entry).catch((cause: unknown) => {
        errors.push(new KernelbedError(`could not release ${entry.name}`, { blame: 'host', cause }))
      })
    }
    if (errors.length) throw new AggregateError(errors, `${errors.length} resource(s) could not be released`)
  }

  async #release(entry: Entry): Promise<void> {
    if (entry.released) return
    entry.released = true
    await entry.release()
    for (const owned of entry.held) this.#guard?.drop(owned)
  }
}
