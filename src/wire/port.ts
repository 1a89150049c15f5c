import { createConnection, type Socket } from 'node:net'
import { MAX_FRAME } from './pcap.ts'

const RECONNECT_MS = 50
/** Frames waiting for a guest that doesn't read; more are dropped, as a switch with full queues does. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024
export const LENGTH_PREFIX = 4

/** Takes complete frames of a port: `data` holds them one after the other with their length prefixes, `[start, end)`. */
export type FramesListener = (port: Port, data: Buffer, start: number, end: number) => void

/**
 * One connection to a machine's `-netdev stream` listener (QEMU net/stream.c: a 4-byte big-endian length before each frame).
 * When it ends the port is down and connects again, until it is closed: QEMU goes on listening, and a machine that is booted once
 * more listens at the same path.
 */
export class Port {
  readonly name: string
  readonly path: string
  rxFrames = 0
  txFrames = 0
  /** Dropped because of `loss`. */
  lost = 0
  /** Dropped because of a cut. */
  cut = 0
  /** Meant for this port and dropped because its queue was full or it was down. */
  overrun = 0
  /** Shorter than an Ethernet header. */
  malformed = 0
  connected = false
  readonly #onFrames: FramesListener
  readonly #onDown: (port: Port) => void
  readonly #waiting: (() => void)[] = []
  #socket: Socket | undefined
  #rest: Buffer | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #corked = false
  lastError = 'not connected yet'

  constructor(name: string, path: string, onFrames: FramesListener, onDown: (port: Port) => void) {
    this.name = name
    this.path = path
    this.#onFrames = onFrames
    this.#onDown = onDown
    this.#connect()
  }

  /** Resolves true when connected, false after `timeoutMs`. */
  up(timeoutMs: number): Promise<boolean> {
    if (this.connected) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs)
      this.#waiting.push(() => (clearTimeout(timer), resolve(true)))
    })
  }

  /** Sends a run of `frames` frames with their prefixes; the switch uncorks once it has handled all it read. True when this corked it. */
  send(data: Buffer, start: number, end: number, frames: number): boolean {
    const socket = this.#socket
    if (!socket || !this.connected || socket.writableLength > MAX_QUEUED_BYTES) {
      this.overrun += frames
      return false
    }
    const corkedNow = !this.#corked
    if (corkedNow) {
      socket.cork()
      this.#corked = true
    }
    socket.write(data.subarray(start, end))
    this.txFrames += frames
    return corkedNow
  }

  uncork(): void {
    this.#corked = false
    this.#socket?.uncork()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#socket?.destroy()
  }

  #connect(): void {
    const socket = createConnection({ path: this.path })
    this.#socket = socket
    socket.on('connect', () => {
      this.connected = true
      for (const waiter of this.#waiting.splice(0)) waiter()
    })
    socket.on('data', (chunk: Buffer) => this.#split(chunk))
    socket.on('error', (error) => (this.lastError = error.message))
    socket.on('close', () => this.#down())
  }

  #down(): void {
    const wasUp = this.connected
    this.connected = false
    this.#corked = false
    this.#rest = undefined
    if (wasUp) this.#onDown(this)
    if (!this.#closed) this.#timer = setTimeout(() => this.#connect(), RECONNECT_MS)
  }

  /** Hands on the whole frames of what was read without copying them; only a frame cut in two by the read is copied. */
  #split(chunk: Buffer): void {
    const data = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk
    let end = 0
    while (end + LENGTH_PREFIX <= data.length) {
      const length = data.readUInt32BE(end)
      if (length > MAX_FRAME) {
        this.lastError = `a frame of ${length} bytes: the stream is out of step`
        this.#socket?.destroy()
        return
      }
      if (end + LENGTH_PREFIX + length > data.length) break
      end += LENGTH_PREFIX + length
    }
    this.#rest = end === data.length ? undefined : data.subarray(end)
    if (end) this.#onFrames(this, data, 0, end)
  }
}
