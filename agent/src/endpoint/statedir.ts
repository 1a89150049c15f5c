import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod/mini'
import { replaceFile } from '../files.ts'
import { messageOf, type Logger } from '../log.ts'
import { monitorOptions } from '../monitor/options.ts'
import type { EndpointRecord } from './endpoint.ts'

const schema = z.object({
  id: z.int(), containerId: z.string(), netns: z.string(), containerInterface: z.string(), hostInterface: z.string(), ipv4: z.string(), ipv6: z.optional(z.string()),
  pod: z.object({ namespace: z.string(), name: z.string(), uid: z.optional(z.string()) }),
  labels: z.array(z.string()), identity: z.int(), namedPorts: z.record(z.string(), z.int()),
  options: z.optional(z.partialRecord(z.enum(monitorOptions), z.boolean())),
})

/** `DIR/<id>/ep.json` for every endpoint, as Cilium lays it out. */
export class StateDir {
  readonly #dir: string
  readonly #log: Logger
  constructor(dir: string, log: Logger) {
    this.#dir = dir
    this.#log = log
    mkdirSync(dir, { recursive: true })
  }

  /** What was left by an agent before; unreadable entries are named in the log and left alone. */
  load(): EndpointRecord[] {
    return readdirSync(this.#dir).filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      const path = join(this.#dir, name, 'ep.json')
      try {
        return [schema.parse(JSON.parse(readFileSync(path, 'utf8')))]
      } catch (error) {
        this.#log.warning('Unable to read the state of an endpoint, ignoring it; remove the folder if its pod is gone', { path, error: messageOf(error) })
        return []
      }
    })
  }

  save(record: EndpointRecord): void {
    const dir = join(this.#dir, String(record.id))
    mkdirSync(dir, { recursive: true })
    replaceFile(join(dir, 'ep.json'), JSON.stringify(record, null, 2) + '\n')
  }

  remove(id: number): void {
    rmSync(join(this.#dir, String(id)), { recursive: true, force: true })
  }
}
