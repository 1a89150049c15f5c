import type { L7Record } from '../proxy/record.ts'

/** Framing of the monitor stream between agent and command line: length (u32), kind (u8), payload; little-endian. */
export type Frame =
  | { kind: 'hello'; cpus: number; pages: number; pageSize: number }
  | { kind: 'interfaces'; names: Record<string, string> }
  | { kind: 'sample'; cpu: number; data: Buffer }
  | { kind: 'lost'; cpu: number; lost: number }
  | { kind: 'agent'; subtype: string; message: unknown }
  | { kind: 'l7'; record: L7Record }

const kinds = ['hello', 'interfaces', 'sample', 'lost', 'agent', 'l7'] as const

export function encodeFrame(frame: Frame): Buffer {
  const payload = encodePayload(frame)
  const head = Buffer.alloc(5)
  head.writeUInt32LE(payload.length + 1, 0)
  head[4] = kinds.indexOf(frame.kind)
  return Buffer.concat([head, payload])
}

function encodePayload(frame: Frame): Buffer {
  if (frame.kind !== 'sample' && frame.kind !== 'lost') return Buffer.from(JSON.stringify(frame))
  const cpu = Buffer.alloc(4)
  cpu.writeUInt32LE(frame.cpu)
  if (frame.kind === 'sample') return Buffer.concat([cpu, frame.data])
  const lost = Buffer.alloc(4)
  lost.writeUInt32LE(Math.min(frame.lost, 0xffff_ffff))
  return Buffer.concat([cpu, lost])
}

/** Takes bytes as they come and gives whole frames. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): Frame[] {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const frames: Frame[] = []
    while (data.length >= 5) {
      const length = data.readUInt32LE(0)
      if (data.length < 4 + length) break
      frames.push(decodePayload(data[4]!, data.subarray(5, 4 + length)))
      data = data.subarray(4 + length)
    }
    this.#rest = data
    return frames
  }
}

function decodePayload(kind: number, payload: Buffer): Frame {
  switch (kinds[kind]) {
    case 'sample': return { kind: 'sample', cpu: payload.readUInt32LE(0), data: payload.subarray(4) }
    case 'lost': return { kind: 'lost', cpu: payload.readUInt32LE(0), lost: payload.readUInt32LE(4) }
    case undefined: throw new Error(`monitor stream has a frame of unknown kind ${kind}: agent and command line are of different versions`)
    default: return JSON.parse(payload.toString()) as Frame
  }
}
