import { open } from 'node:fs/promises'
import { decodeFrame } from './decode.ts'
import { PcapReader } from './pcap.ts'
import type { Frame } from './types.ts'

/** Decodes all frames of a pcap file of Ethernet frames. Ports are not in such a file: `port` is empty. */
export async function readCapture(file: string): Promise<Frame[]> {
  return new CaptureFollower(file).frames()
}

/** Reads a growing capture file, decoding each frame once. */
export class CaptureFollower {
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
