import { CaptureFile } from './capture-file.ts'
import { formatMac } from './decode.ts'
import { Switch } from './switch.ts'
import { parseRequest, type Answer, type PortStats, type Request } from './control.ts'
import type { Port } from './port.ts'

const SYNC_MS = 250

/** Carries out control requests on a switch. */
export class Controller {
  readonly #switch: Switch
  readonly #captures = new Map<number, CaptureFile>()
  #nextCapture = 1

  constructor(lanSwitch: Switch = new Switch()) {
    this.#switch = lanSwitch
    setInterval(() => this.#captures.forEach((capture) => capture.sync()), SYNC_MS).unref()
  }

  /** Never throws: what is wrong with the request is the answer. */
  async answer(line: string): Promise<Answer> {
    const request = parseRequest(line)
    if (typeof request === 'string') return { ok: false, error: request }
    try {
      return await this.#do(request)
    } catch (error) {
      return { ok: false, error: error instanceof Error ? error.message : String(error) }
    }
  }

  /** Completes the files. */
  close(): void {
    for (const id of [...this.#captures.keys()]) this.#endCapture(id)
  }

  async #do(request: Request): Promise<Answer> {
    switch (request.op) {
      case 'ping': return { ok: true, pid: process.pid }
      case 'attach': return this.#attach(request.port, request.socket, request.timeoutMs)
      case 'detach': return this.#known(request.port, () => this.#switch.detach(request.port))
      case 'capture': return this.#capture(request.file)
      case 'flush': return this.#flush(request.capture)
      case 'captureStop': return this.#endCapture(request.capture)
      case 'cut': return this.#known(request.a, () => (request.b === undefined ? undefined : this.#requirePort(request.b), this.#switch.cut(request.a, request.b)))
      case 'restore': return (this.#switch.restore(), { ok: true })
      case 'impair': return (this.#switch.impair(request.loss, request.delayMs), { ok: true })
      case 'stats': return { ok: true, stats: this.#switch.ports.map(statsOf) }
    }
  }

  async #attach(name: string, socket: string, timeoutMs: number): Promise<Answer> {
    const port = this.#switch.attach(name, socket)
    if (await port.up(timeoutMs)) return { ok: true }
    throw new Error(`port ${name}: nothing accepted a connection at ${socket} within ${timeoutMs / 1000} s (${port.lastError})`)
  }

  #capture(file: string): Answer {
    const capture = new CaptureFile(file)
    const id = this.#nextCapture++
    this.#captures.set(id, capture)
    this.#switch.capture(capture)
    return { ok: true, capture: id }
  }

  #flush(id: number): Answer {
    const capture = this.#requireCapture(id)
    capture.flush()
    return { ok: true, frames: capture.frames, sources: Object.fromEntries([...capture.sources].map(([mac, port]) => [formatMac(mac), port])) }
  }

  #endCapture(id: number): Answer {
    const capture = this.#requireCapture(id)
    this.#switch.endCapture(capture)
    this.#captures.delete(id)
    capture.close()
    return { ok: true, frames: capture.frames }
  }

  #known(name: string, act: () => void): Answer {
    this.#requirePort(name)
    act()
    return { ok: true }
  }

  #requirePort(name: string): void {
    const names = this.#switch.ports.map((port) => port.name)
    if (!names.includes(name)) throw new Error(`no port ${name}; there are: ${names.join(', ') || 'none'}`)
  }

  #requireCapture(id: number): CaptureFile {
    const capture = this.#captures.get(id)
    if (!capture) throw new Error(`no capture ${id}, or it has been stopped`)
    return capture
  }
}

function statsOf(port: Port): PortStats {
  const { name, connected, rxFrames, txFrames, lost, cut, overrun, malformed } = port
  return { port: name, connected, rxFrames, txFrames, dropped: lost + cut + overrun + malformed, lost, cut, overrun, malformed }
}
