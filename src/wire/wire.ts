import { mkdirSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { KernelbedError } from '../core/errors.ts'
import { startService } from '../core/service.ts'
import { waitFor } from '../core/wait.ts'
import { request } from './client.ts'
import { decodeFrame } from './decode.ts'
import { PcapReader } from './pcap.ts'
import type { Context } from '../core/context.ts'
import type { RequestInput } from './control.ts'
import type { Capture, Frame, StartedWire, Wire, WireHandle } from './types.ts'

/** Starts the switch process; its log is `<dir>/logs/wire.log`. Throws KernelbedError when it doesn't answer within 15 s. */
export async function startWire(ctx: Context): Promise<StartedWire> {
  const control = join(ctx.sockets, 'wire.sock')
  const socket = ctx.registry.claim('wire control socket', () => rmSync(control, { force: true }))
  socket.hold({ kind: 'path', path: control })
  const service = await startService(ctx.registry, {
    name: 'wire switch',
    file: process.execPath,
    args: [new URL('./switch-main.ts', import.meta.url).pathname, control],
    logFile: join(ctx.dir, 'logs', 'wire.log'),
  })
  await waitFor({ name: 'the wire switch to answer', timeoutMs: 15_000, intervalMs: 20, signal: ctx.signal, evidence: () => service.logTail(10) }, async () => {
    service.assertAlive()
    return { done: await request(control, { op: 'ping' }, 2000).catch((error: unknown) => Promise.reject(error instanceof KernelbedError ? (error.cause as Error) : (error as Error))) }
  })
  return { ...attachWire({ control, pid: service.pid }), stop: () => service.stop().finally(() => socket.release()) }
}

/** Reaches a running switch, from any process of this host. */
export function attachWire(handle: WireHandle): Wire {
  const { control } = handle
  const order = async (body: RequestInput): Promise<void> => {
    await request(control, body)
  }
  return {
    handle,
    attach: (port, socket) => order({ op: 'attach', port, socket }),
    detach: (port) => order({ op: 'detach', port }),
    capture: (file) => startCapture(control, file),
    cut: (a, b) => order({ op: 'cut', a, ...(b === undefined ? {} : { b }) }),
    restore: () => order({ op: 'restore' }),
    impair: (options) => order({ op: 'impair', ...options }),
    stats: async () => (await request(control, { op: 'stats' })).stats ?? [],
  }
}

async function startCapture(control: string, file: string): Promise<Capture> {
  mkdirSync(dirname(file), { recursive: true })
  const { capture } = await request(control, { op: 'capture', file })
  if (capture === undefined) throw new Error('the switch gave no capture number')
  const follower = new CaptureFollower(file)
  let stopped: Promise<unknown> | undefined
  const flush = async (): Promise<void> => follower.learnSources((await request(control, { op: 'flush', capture })).sources ?? {})
  return {
    file,
    stop: async () => {
      await (stopped ??= flush().then(() => request(control, { op: 'captureStop', capture })))
    },
    frames: async () => {
      await (stopped ?? flush())
      return follower.frames()
    },
  }
}

/** Decodes all frames of a pcap file of Ethernet frames. Ports are not in such a file: `port` is empty. */
export async function readCapture(file: string): Promise<Frame[]> {
  return new CaptureFollower(file).frames()
}

/** Reads a growing capture file, decoding each frame once. */
class CaptureFollower {
  readonly #file: string
  readonly #reader = new PcapReader()
  readonly #frames: Frame[] = []
  #sources: Readonly<Record<string, string>> = {}
  #offset = 0
  #reading: Promise<unknown> = Promise.resolve()

  constructor(file: string) {
    this.#file = file
  }

  learnSources(sources: Readonly<Record<string, string>>): void {
    this.#sources = sources
  }

  async frames(): Promise<Frame[]> {
    const mine = this.#reading.then(() => this.#readNew())
    this.#reading = mine.catch(() => undefined)
    await mine
    return [...this.#frames]
  }

  async #readNew(): Promise<void> {
    const handle = await open(this.#file, 'r')
    try {
      const chunk = Buffer.alloc((await handle.stat()).size - this.#offset)
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, this.#offset)
      this.#offset += bytesRead
      for (const { data, timeNs, length } of this.#reader.push(chunk.subarray(0, bytesRead))) {
        this.#frames.push(decodeFrame(data, timeNs, (src) => this.#sources[src] ?? '', length))
      }
    } finally {
      await handle.close()
    }
  }
}
