/** What the kernel must have, tried out rather than concluded from its version. */
import fs from 'node:fs'
import os from 'node:os'
import { MAP_TYPE, createMap, loadProgram } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { addClsact, deleteClsact, requireLink, withNetlink } from './rtnetlink.ts'

/** A program that does nothing but call a helper: `r1..r5 = 0 or ctx; call helper; r0 = 0; exit`. */
function callHelper(helper: number): Buffer {
  const instruction = (code: number, registers: number, imm: number): Buffer => {
    const b = Buffer.alloc(8)
    b.writeUInt8(code, 0)
    b.writeUInt8(registers, 1)
    b.writeInt32LE(imm, 4)
    return b
  }
  const MOV_IMM = 0xb7, CALL = 0x85, EXIT = 0x95
  return Buffer.concat([instruction(CALL, 0, helper), instruction(MOV_IMM, 0, 0), instruction(EXIT, 0, 0)])
}

const GET_HASH_RECALC = 34

interface Feature { name: string; since: string; attempt: () => void }

const FEATURES: Feature[] = [
  {
    name: 'qdisc clsact', since: '4.5',
    attempt: () => withNetlink((netlink) => {
      const { ifindex } = requireLink(netlink, 'lo')
      if (addClsact(netlink, ifindex)) deleteClsact(netlink, ifindex)
    }),
  },
  {
    name: 'per-CPU hash maps', since: '4.6',
    attempt: () => fs.closeSync(createMap('probe', { type: MAP_TYPE.perCpuHash, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 })),
  },
  {
    name: 'BPF helper get_hash_recalc', since: '4.8',
    attempt: () => fs.closeSync(loadProgram('probe', callHelper(GET_HASH_RECALC), 'GPL').fd),
  },
]

/** Throws one error with a line for each thing that is missing. Lack of privilege is told as such. */
export function requireFeatures(): void {
  const missing = FEATURES.flatMap(({ name, since, attempt }) => {
    try {
      attempt()
      return []
    } catch (error) {
      if (!(error instanceof DatapathError) || error.errno === undefined || PRIVILEGE.includes(error.errno)) throw error
      return [{ line: `${name}: not supported by this kernel (needs ${since})`, errno: error.errno }]
    }
  })
  if (missing.length > 0) throw new DatapathError(missing.map(({ line }) => line).join('\n'), { errno: missing[0]?.errno })
}

const PRIVILEGE: readonly number[] = [os.constants.errno.EPERM, os.constants.errno.EACCES]
