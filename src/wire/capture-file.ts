import { closeSync, openSync, writeSync } from 'node:fs'
import { MAX_FRAME, RECORD_HEADER, pcapHeader, writeRecordHeader } from './pcap.ts'

const BUFFER_BYTES = 512 * 1024

/**
 * A pcap file being written by the switch. Frames are gathered in memory and written in large pieces; `flush` puts every frame
 * recorded so far into the file. A write that fails (full disk) ends the capture, not the switch; the next flush or close tells of it.
 */
export class CaptureFile {
  readonly file: string
  /** Which port each source address was last seen on: a pcap record has no field for it. */
  readonly sources = new Map<number, string>()
  readonly #fd: number
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #used = 0
  #frames = 0
  #failure: Error | undefined

  /** Throws when the file cannot be created. */
  constructor(file: string) {
    this.file = file
    this.#fd = openSync(file, 'w', 0o644)
    this.#used = pcapHeader().copy(this.#buffer)
    this.flush()
  }

  get frames(): number {
    return this.#frames
  }

  record(seconds: number, nanos: number, data: Buffer, start: number, end: number): void {
    const length = Math.min(end - start, MAX_FRAME)
    if (this.#used + RECORD_HEADER + length > BUFFER_BYTES) this.#write()
    writeRecordHeader(this.#buffer, this.#used, seconds, nanos, length)
    data.copy(this.#buffer, this.#used + RECORD_HEADER, start, start + length)
    this.#used += RECORD_HEADER + length
    this.#frames++
  }

  /** Throws the error of an earlier write too. */
  flush(): void {
    this.#write()
    if (this.#failure) throw this.#failure
  }

  close(): void {
    this.#write()
    closeSync(this.#fd)
    if (this.#failure) throw this.#failure
  }

  /** Writes what is gathered, keeping a failure for the next flush. */
  #write(): void {
    let done = 0
    try {
      while (done < this.#used && !this.#failure) done += writeSync(this.#fd, this.#buffer, done, this.#used - done)
    } catch (error) {
      this.#failure = error as Error
    }
    this.#used = 0
  }

  /** Makes the file current for those who follow it from outside; errors wait for `flush`. */
  sync(): void {
    if (this.#used) this.#write()
  }
}
