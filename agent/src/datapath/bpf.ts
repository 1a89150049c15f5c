/** bpf(2): maps, programs, pins. */
import fs from 'node:fs'
import os from 'node:os'
import { isAtLeast } from '../kernel.ts'
import { DatapathError, errnoName, systemError } from './errors.ts'
import { allocate, bpfCall, errno, withMemory, type Memory } from './system.ts'

const SYS_BPF = 321
const COMMAND = { mapCreate: 0, lookup: 1, update: 2, delete: 3, nextKey: 4, programLoad: 5, pin: 6, get: 7 } as const
const ATTR_SIZE = 48
const { EEXIST, ENOENT, EPERM, ENOSPC } = os.constants.errno
/** BPF_NOEXIST. */
const NO_EXIST = 1

export const MAP_TYPE = { hash: 1, array: 2, programArray: 3, perfEventArray: 4, perCpuHash: 5 } as const

export const PROGRAM_TYPE = { schedCls: 3, xdp: 6 } as const

/** As in the object's "maps" section; sizes in bytes. */
export interface MapShape { type: number; keySize: number; valueSize: number; maxEntries: number; flags: number }

// One scratch area for all calls: they are synchronous, and nothing in it outlives one.
const scratch = allocate(1 << 20)
const attr = scratch.bytes.subarray(0, 256)
const AREA = { key: 1 << 12, nextKey: 1 << 13, value: 1 << 14 } as const
const at = (offset: number): bigint => scratch.address + BigInt(offset)

/** Negative errno, or the result. `write` fills the zeroed bpf_attr. */
function bpf(command: number, write: (attr: Buffer) => void, size = ATTR_SIZE): number {
  attr.fill(0, 0, size)
  write(attr)
  const result = bpfCall(SYS_BPF, command, scratch.pointer, size)
  return result < 0 ? -errno() : result
}

export function createMap(name: string, shape: MapShape): number {
  const fd = bpf(COMMAND.mapCreate, (a) => {
    [shape.type, shape.keySize, shape.valueSize, shape.maxEntries, shape.flags].forEach((word, i) => a.writeUInt32LE(word, 4 * i))
  })
  if (fd >= 0) return fd
  const hint = -fd === EPERM ? 'run as root; before Linux 5.11 RLIMIT_MEMLOCK counts too' : undefined
  throw systemError(`creating BPF map ${name} (type ${shape.type}, ${shape.maxEntries} entries)`, -fd, hint)
}

function writePath(path: string): void {
  scratch.bytes.write(`${path}\0`, AREA.value)
}

/** Pins a map or program on bpffs. */
export function pin(fd: number, path: string): void {
  writePath(path)
  const result = bpf(COMMAND.pin, (a) => { a.writeBigUInt64LE(at(AREA.value), 0); a.writeUInt32LE(fd, 8) })
  if (result < 0) throw systemError(`pinning ${path}`, -result)
}

/** Descriptor of a pinned object; undefined when there is none. */
export function openPinned(path: string): number | undefined {
  writePath(path)
  const fd = bpf(COMMAND.get, (a) => a.writeBigUInt64LE(at(AREA.value), 0))
  if (fd >= 0) return fd
  if (-fd === ENOENT) return undefined
  throw systemError(`opening pinned ${path}`, -fd)
}

/** A map's shape from /proc, which 4.9 has too (object info by descriptor is 4.13). */
export function mapShape(fd: number): MapShape {
  const text = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(text)?.[1] ?? 0)
  return { type: field('map_type'), keySize: field('key_size'), valueSize: field('value_size'), maxEntries: field('max_entries'), flags: field('map_flags') }
}

export interface LoadedProgram { fd: number; /** The verifier's own count of instructions it processed, when asked for. */ processed: number | undefined }

/**
 * Loads a program, for tc unless told otherwise. When the verifier refuses, it is asked once more for its log; the message has the log's end and the error the whole of it.
 * @param options.stats ask for the log on success too
 * @param options.logBytes room for the log: the kernel allocates as much at each load with one
 */
export function loadProgram(name: string, instructions: Buffer, license: string, { stats = false, logBytes = LOG_SIZE, type = PROGRAM_TYPE.schedCls }: { stats?: boolean; logBytes?: number; type?: number } = {}): LoadedProgram {
  return withMemory(instructions.length, (code) => {
    instructions.copy(code.bytes)
    scratch.bytes.write(`${license}\0`, AREA.value)
    const count = instructions.length / 8
    const { fd, processed } = stats ? withMemory(logBytes, (log) => ({ fd: load(type, code, count, log, isAtLeast(os.release(), '5.2') ? LOG_LEVEL.stats : LOG_LEVEL.all), processed: processedIn(logText(log)) }))
      : { fd: load(type, code, count), processed: undefined }
    if (fd < 0) throw refused(name, -fd, type, code, count, logBytes)
    return { fd, processed }
  })
}

const processedIn = (log: string): number => Number(/processed (\d+) insns/.exec(log)?.[1] ?? 0)

/** Everything, with the counts at its end; or, from 5.2 on, the counts alone. */
const LOG_LEVEL = { all: 1, stats: 4 } as const

/** What 4.9 allows at most is 16 MiB. */
const LOG_SIZE = 8 << 20

function load(type: number, code: Memory, count: number, log?: Memory, level: number = LOG_LEVEL.all): number {
  return bpf(COMMAND.programLoad, (a) => {
    a.writeUInt32LE(type, 0)
    a.writeUInt32LE(count, 4)
    a.writeBigUInt64LE(code.address, 8)
    a.writeBigUInt64LE(at(AREA.value), 16)
    if (log === undefined) return
    a.writeUInt32LE(level, 24)
    a.writeUInt32LE(log.bytes.length, 28)
    a.writeBigUInt64LE(log.address, 32)
  })
}

function logText(log: Memory): string {
  return log.bytes.toString('utf8', 0, log.bytes.indexOf(0))
}

function refused(name: string, code: number, type: number, program: Memory, count: number, logBytes: number): DatapathError {
  const text = withMemory(logBytes, (log) => {
    load(type, program, count, log)
    return logText(log)
  })
  const tail = text.trimEnd().split('\n').slice(-25).join('\n')
  const reason = text === '' ? (code === EPERM ? ' (run as root; before Linux 5.11 RLIMIT_MEMLOCK counts too)' : '') : `; the verifier says:\n${tail}`
  return new DatapathError(`loading BPF program ${name} (${count} instructions): ${errnoName(code)}${code === ENOSPC ? ' (log too long)' : ''}${reason}`,
    { errno: code, verifierLog: text })
}

/** A map by its descriptor. Keys and values are raw bytes as in agent/bpf/lib/maps.h. */
export class BpfMap {
  readonly name: string
  readonly fd: number
  readonly shape: MapShape
  /** Bytes of a value as system calls see it: for per-CPU maps one after the other for every possible CPU. */
  private readonly valueBytes: number

  constructor(name: string, fd: number, shape: MapShape, cpus: number) {
    this.name = name
    this.fd = fd
    this.shape = shape
    this.valueBytes = shape.type === MAP_TYPE.perCpuHash ? Math.ceil(shape.valueSize / 8) * 8 * cpus : shape.valueSize
  }

  /** `target` is where the value or next key is; a deletion has none, and is refused if there is one. */
  private call(command: number, key: Buffer, target?: number, flags = 0): number {
    if (key.length !== this.shape.keySize) throw new RangeError(`map ${this.name}: key of ${key.length} bytes, ${this.shape.keySize} expected`)
    key.copy(scratch.bytes, AREA.key)
    return bpf(command, (a) => {
      a.writeUInt32LE(this.fd, 0)
      a.writeBigUInt64LE(at(AREA.key), 8)
      if (target !== undefined) a.writeBigUInt64LE(at(target), 16)
      a.writeBigUInt64LE(BigInt(flags), 24)
    }, 32)
  }

  lookup(key: Buffer): Buffer | undefined {
    const result = this.call(COMMAND.lookup, key, AREA.value)
    if (result < 0) {
      if (-result === ENOENT) return undefined
      throw systemError(`looking up in map ${this.name}`, -result)
    }
    return Buffer.from(scratch.bytes.subarray(AREA.value, AREA.value + this.valueBytes))
  }

  update(key: Buffer, value: Buffer): void {
    this.write(key, value)
  }

  /** Like update, but leaves an entry that is there: false then. */
  insert(key: Buffer, value: Buffer): boolean {
    return this.write(key, value, NO_EXIST)
  }

  private write(key: Buffer, value: Buffer, flags = 0): boolean {
    if (value.length !== this.valueBytes) throw new RangeError(`map ${this.name}: value of ${value.length} bytes, ${this.valueBytes} expected`)
    value.copy(scratch.bytes, AREA.value)
    const result = this.call(COMMAND.update, key, AREA.value, flags)
    if (flags === NO_EXIST && -result === EEXIST) return false
    if (result < 0) throw systemError(`updating map ${this.name}`, -result, FULL.includes(-result) ? `it is full (${this.shape.maxEntries} entries)` : undefined)
    return true
  }

  /** false when there was none. */
  delete(key: Buffer): boolean {
    const result = this.call(COMMAND.delete, key)
    if (result < 0 && -result !== ENOENT) throw systemError(`deleting from map ${this.name}`, -result)
    return result >= 0
  }

  /** The key after `key`, the first when that is not there, or when there is none to start after: kernels before 4.12 want one. undefined after the last. */
  nextKey(key: Buffer = Buffer.alloc(this.shape.keySize, 0xff)): Buffer | undefined {
    return this.call(COMMAND.nextKey, key, AREA.nextKey) < 0 ? undefined : Buffer.from(scratch.bytes.subarray(AREA.nextKey, AREA.nextKey + this.shape.keySize))
  }

  /** All keys. */
  keys(): Buffer[] {
    const seen = new Map<string, Buffer>()
    let key = this.nextKey()
    // A key deleted under us sends the walk back to the start: hence a limit, and no duplicates.
    for (let steps = 0; key !== undefined && steps < this.mostSteps; steps++) {
      seen.set(key.toString('latin1'), key)
      key = this.nextKey(key)
    }
    return [...seen.values()]
  }

  /** No walk through the keys takes more, unless it is sent back to the start for ever. */
  private get mostSteps(): number {
    return 2 * this.shape.maxEntries + 16
  }

  /**
   * Looks at every entry and deletes those that are `expired`, in turns of a few milliseconds. `kept` is told of those that stay; when an entry that the walk was at goes under it, all are
   * looked at again, and `again` is told that first. Ends early when `stopped` says so.
   */
  async sweep({ expired, kept, again, stopped }: { expired: (key: Buffer, value: Buffer) => boolean; kept: (key: Buffer) => void; again: () => void; stopped: () => boolean }): Promise<void> {
    let key = this.nextKey(), turn = performance.now()
    for (let steps = 0; key !== undefined && steps < this.mostSteps; steps++) {
      // Asked for first: after its own deletion a key leads nowhere.
      const next = this.nextKey(key)
      const value = this.lookup(key)
      if (value === undefined) again()
      else if (expired(key, value)) this.delete(key)
      else kept(key)
      key = next
      if (steps % 32 !== 31 || performance.now() - turn < TURN_MS) continue
      await new Promise((resolve) => setImmediate(resolve))
      if (stopped()) return
      turn = performance.now()
    }
  }

  entries(): [key: Buffer, value: Buffer][] {
    return this.keys().flatMap((key) => {
      const value = this.lookup(key)
      return value === undefined ? [] : [[key, value]]
    })
  }
}

/** What else there is to do in this process should not wait longer for a walk through a large map. */
const TURN_MS = 10

const FULL: readonly number[] = [os.constants.errno.E2BIG, os.constants.errno.ENOMEM]

/** Whether an update was refused for want of room. */
export const isFull = (error: unknown): boolean => error instanceof DatapathError && error.errno !== undefined && FULL.includes(error.errno)
