/** Perf rings: one a CPU, filled by the programs, read here as events arrive. */
import fs from 'node:fs'
import type { BpfMap } from './bpf.ts'
import { cpus } from './cpus.ts'
import { DatapathError, systemError } from './errors.ts'
import { u32Key } from './layouts.ts'
import { allocate, errno, eventfd, ioctl, mapMemory, munmap, perfEventCall, poll, type Memory } from './system.ts'
import type { RawEvent } from './types.ts'

export const PAGE_SIZE = 4096
const RECORD = { lost: 2, sample: 9 } as const
const HEAD = 1024 // offset of data_head in struct perf_event_mmap_page; data_tail follows

function openEvent(cpu: number): number {
  const SYS_PERF_EVENT_OPEN = 298, CLOEXEC = 8, IOC_ENABLE = 0x2400
  const attr = Buffer.alloc(112)
  attr.writeUInt32LE(1, 0) // PERF_TYPE_SOFTWARE
  attr.writeUInt32LE(attr.length, 4)
  attr.writeBigUInt64LE(10n, 8) // PERF_COUNT_SW_BPF_OUTPUT
  attr.writeBigUInt64LE(1n, 16) // sample every event
  attr.writeBigUInt64LE(1n << 10n, 24) // PERF_SAMPLE_RAW
  attr.writeUInt32LE(1, 48) // wake up at every event; a reader that is busy finds many
  const fd = perfEventCall(SYS_PERF_EVENT_OPEN, attr, -1, cpu, -1, CLOEXEC)
  if (fd < 0) throw systemError(`opening a perf event on CPU ${cpu}`, errno(), 'the monitor needs CONFIG_PERF_EVENTS and root')
  if (ioctl(fd, IOC_ENABLE, 0) < 0) throw systemError(`enabling the perf event of CPU ${cpu}`, errno())
  return fd
}

/** One CPU's ring: a control page, then a power of two of data pages. */
export class PerfRing {
  private readonly data: Buffer
  /** data_head and data_tail. Whole 64-bit loads and stores: the kernel changes and reads them meanwhile, and Buffer's own go byte by byte. */
  private readonly ends: BigUint64Array
  readonly cpu: number

  constructor(cpu: number, bytes: Buffer) {
    this.cpu = cpu
    this.ends = new BigUint64Array(bytes.buffer, bytes.byteOffset + HEAD, 2)
    this.data = bytes.subarray(PAGE_SIZE)
  }

  private copy(position: number, length: number): Buffer {
    const start = position % this.data.length
    const first = this.data.subarray(start, start + length)
    return first.length === length ? Buffer.from(first) : Buffer.concat([first, this.data.subarray(0, length - first.length)])
  }

  /** Hands over what is there now. */
  drain(handle: (event: RawEvent) => void): void {
    const head = Number(Atomics.load(this.ends, 0))
    let tail = Number(Atomics.load(this.ends, 1))
    while (tail < head) {
      const header = this.copy(tail, 8)
      const size = header.readUInt16LE(6)
      const record = this.copy(tail + 8, size - 8)
      const type = header.readUInt32LE(0)
      tail += size
      Atomics.store(this.ends, 1, BigInt(tail)) // before handling: what throws must not be seen twice
      if (type === RECORD.sample) handle({ cpu: this.cpu, data: record.subarray(4, 4 + record.readUInt32LE(0)) })
      else if (type === RECORD.lost) handle({ cpu: this.cpu, lost: Number(record.readBigUInt64LE(8)) })
    }
  }
}

/** Reads all rings until closed. */
export class PerfReader {
  readonly cpus: number
  private readonly rings: { ring: PerfRing; fd: number; memory: Memory }[]
  private readonly wake: number
  private closed = false

  constructor(map: BpfMap, pages: number, handle: (event: RawEvent) => void) {
    if (pages < 1 || (pages & (pages - 1)) !== 0) throw new DatapathError(`monitorPages is ${pages}; a power of two is needed`)
    this.rings = cpus('online').map((cpu) => {
      const fd = openEvent(cpu)
      const memory = mapMemory((pages + 1) * PAGE_SIZE, fd)
      if (memory === undefined) throw systemError(`mapping the perf ring of CPU ${cpu} (${pages} pages)`, errno())
      map.update(u32Key(cpu), u32Key(fd))
      return { ring: new PerfRing(cpu, memory.bytes), fd, memory }
    })
    this.cpus = this.rings.length
    this.wake = eventfd(0, 0)
    void this.run(handle)
  }

  private async run(handle: (event: RawEvent) => void): Promise<void> {
    const POLLIN = 1
    const descriptors = [this.wake, ...this.rings.map(({ fd }) => fd)]
    const fds = allocate(descriptors.length * 8)
    descriptors.forEach((fd, i) => {
      fds.bytes.writeInt32LE(fd, i * 8)
      fds.bytes.writeInt16LE(POLLIN, i * 8 + 4)
    })
    try {
      while (!this.closed) {
        // The time limit is for a process that exits without close(): it waits for its threads.
        await poll(fds, descriptors.length, 1000)
        if (!this.closed) for (const { ring } of this.rings) ring.drain(handle)
      }
    } finally {
      for (const { fd, memory } of this.rings) {
        munmap(memory.pointer, memory.bytes.length)
        fs.closeSync(fd)
      }
      fs.closeSync(this.wake)
    }
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    const one = Buffer.alloc(8)
    one.writeBigUInt64LE(1n)
    fs.writeSync(this.wake, one)
  }
}
