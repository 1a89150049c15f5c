import http from 'node:http'
import { messageOf } from '../log.ts'

/** What a probe found: `status` is empty when it was answered, else why not. */
export interface Probed { status: string; /** Nanoseconds. */ latency: number }
export interface PathHealth { ip: string; icmp: Probed; http: Probed; reachable: boolean }
export interface NodeHealth { name: string; local: boolean; host: PathHealth; endpoint: PathHealth }
export interface HealthReport { timestamp: string; nodes: NodeHealth[] }

/** A node and where it is asked: at its own address, and at its router's, which is behind the tunnel as its pods are. */
export interface ProbeTarget { name: string; ip: string; endpointIP: string }

export interface ProberDeps {
  self: string
  targets: () => ProbeTarget[]
  /** One echo request; resolves with the round trip in milliseconds, rejects with why there was none. */
  ping: (ip: string, timeoutMs: number) => Promise<number>
  /** Of every agent's health responder. */
  port: number
}

const timeoutMs = 5000

/**
 * Asks every node, this one too, by ICMP and by HTTP whether it can be reached. Cilium starts a container of its own on each node for the way through the tunnel; lash asks the
 * router's address, which takes the same way to the node, but not into a pod.
 */
export class HealthProber {
  readonly #deps: ProberDeps
  #last: HealthReport | undefined
  #running: Promise<HealthReport> | undefined
  constructor(deps: ProberDeps) { this.#deps = deps }

  get enabled(): boolean { return this.#deps.port !== 0 }

  /** The last report; undefined before the first. */
  get last(): HealthReport | undefined { return this.#last }

  /** Probes now; who asks while that goes on gets the same report. */
  probe(): Promise<HealthReport> {
    return (this.#running ??= this.#probeAll().finally(() => { this.#running = undefined }))
  }

  async #probeAll(): Promise<HealthReport> {
    const { self, targets } = this.#deps
    const nodes: NodeHealth[] = []
    // One after the other: an echo that is waited for holds one of the four threads that the event ring is read by too.
    for (const { name, ip, endpointIP } of targets()) {
      const [host, endpoint] = await Promise.all([this.#path(ip), this.#path(endpointIP)])
      nodes.push({ name, local: name === self, host, endpoint })
    }
    nodes.sort((a, b) => Number(b.local) - Number(a.local) || (a.name < b.name ? -1 : 1))
    return (this.#last = { timestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'), nodes })
  }

  async #path(ip: string): Promise<PathHealth> {
    const { ping, port } = this.#deps
    const [icmp, answered] = await Promise.all([probed(async () => ping(ip, timeoutMs)), probed(() => hello(ip, port))])
    return { ip, icmp, http: answered, reachable: icmp.status === '' && answered.status === '' }
  }
}

/** Times what `run` says in milliseconds, or tells why it failed. */
async function probed(run: () => Promise<number>): Promise<Probed> {
  try { return { status: '', latency: Math.round(await run() * 1e6) } } catch (error) { return { status: messageOf(error), latency: 0 } }
}

function hello(ip: string, port: number): Promise<number> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    const request = http.get({ host: ip, port, path: '/hello', agent: false, timeout: timeoutMs }, (response) => {
      response.resume()
      response.once('end', () => (response.statusCode === 200 ? resolve(performance.now() - start) : reject(new Error(`GET http://${ip}:${port}/hello: status ${response.statusCode}`))))
    })
    request.once('timeout', () => request.destroy(new Error(`no answer in ${timeoutMs / 1000} s`)))
    request.once('error', (error) => reject(new Error(`Get http://${ip}:${port}/hello: ${error.message}`)))
  })
}

/** What other nodes' probers ask. */
export const healthResponder = (): http.Server => http.createServer((request, response) => { response.writeHead(request.url === '/hello' ? 200 : 404).end() })
