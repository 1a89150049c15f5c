import { existsSync, readFileSync } from 'node:fs'
import ipaddr from 'ipaddr.js'
import * as z from 'zod/mini'
import { canonical } from '../cluster/cidr.ts'
import type { ServiceSpec } from '../datapath/types.ts'
import { replaceFile } from '../files.ts'
import { messageOf, type Logger } from '../log.ts'
import { frontendKey } from './translate.ts'

const port = z.int().check(z.gte(1), z.lte(65_535))
const four = (text: string): boolean => /^\d+(\.\d+){3}$/.test(text) && text.split('.').every((octet) => Number(octet) <= 255)
const ip = z.string().check(z.refine((text) => four(text) || (ipaddr.IPv6.isValid(text) && canonical(text) === text), 'no IP address (of IPv6 in its short form)'))
const service = z.object({
  id: z.int().check(z.gte(1), z.lte(65_535)), frontend: z.object({ ip, port, protocol: z.enum(['TCP', 'UDP']) }),
  backends: z.array(z.object({ ip, port, weight: z.optional(z.int().check(z.gte(1), z.lte(100))) })), affinity: z.optional(z.int().check(z.gte(1), z.lte(86_400))),
}).check(z.refine(({ frontend, backends }) => backends.every((backend) => backend.ip.includes(':') === frontend.ip.includes(':')), { message: 'must be of the frontend\'s IP family', path: ['backends'] }))

/** Services that Kubernetes knows nothing of (`cilium service update`); in one file, so that they outlive the agent. */
export class ManualServices {
  readonly #path: string
  #services: ServiceSpec[] = []

  constructor(path: string, log: Logger) {
    this.#path = path
    if (!existsSync(path)) return
    try {
      this.#services = z.array(service).parse(JSON.parse(readFileSync(path, 'utf8'))) as ServiceSpec[]
    } catch (error) {
      log.error('Unable to read the services made by hand, they are gone: make them again', { path, error: messageOf(error) })
    }
  }

  list(): readonly ServiceSpec[] { return this.#services }

  /** Adds or replaces by number. Throws, with what is wrong, unless `others` (what there is already) leaves number and frontend free. */
  set(wanted: unknown, others: readonly ServiceSpec[]): { created: boolean } {
    const result = service.safeParse(wanted)
    if (!result.success) throw new Error(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
    const spec = result.data as ServiceSpec
    const old = this.#services.find(({ id }) => id === spec.id)
    const clash = others.find((it) => (it.id === spec.id && old === undefined) || (it.id !== spec.id && frontendKey(it.frontend) === frontendKey(spec.frontend)))
    if (clash !== undefined) throw new Error(`service ${clash.id} (${frontendKey(clash.frontend)}) exists already`)
    this.#save([...this.#services.filter((it) => it !== old), spec].sort((a, b) => a.id - b.id))
    return { created: old === undefined }
  }

  /** False when there is no such service made by hand. */
  delete(id: number): boolean {
    if (!this.#services.some((it) => it.id === id)) return false
    this.#save(this.#services.filter((it) => it.id !== id))
    return true
  }

  #save(services: ServiceSpec[]): void {
    replaceFile(this.#path, `${JSON.stringify(services, null, 2)}\n`)
    this.#services = services
  }
}
