/** Denial by source prefix ahead of everything else: agent/bpf/prefilter.c on the node's device. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { isIPv6, parseAnyPrefix } from './address.ts'
import { BpfMap, createMap } from './bpf.ts'
import { readElf, type ElfObject } from './elf.ts'
import { DatapathError, errnoName, missingLine } from './errors.ts'
import { u32Key } from './layouts.ts'
import { loadElfProgram, replacePin } from './loader.ts'
import { listLinks, requireLink, setXdp, withNetlink, XDP_MODE } from './rtnetlink.ts'

export type PrefilterMode = 'native' | 'generic'
export interface PrefilterConfig {
  /** ELF object of agent/bpf/prefilter.c. */
  objectFile: string
  device: string
  /** `auto`: native where the driver can, else generic. */
  mode: PrefilterMode | 'auto'
}

const TRIES = ['cilium_cidr_v4_dyn', 'cilium_cidr_v6_dyn'] as const
type Tries = Readonly<Record<typeof TRIES[number], BpfMap>>

const trieOf = (tries: Tries, prefix: string): BpfMap => tries[isIPv6(prefix) ? 'cilium_cidr_v6_dyn' : 'cilium_cidr_v4_dyn']
const keyOf = (prefix: string): Buffer => { const { address, bits } = parseAnyPrefix(prefix); return Buffer.concat([u32Key(bits), address]) }

/** Attached only while there is something to deny: XDP costs every packet. */
export class PrefilterProgram {
  private readonly config: PrefilterConfig
  private readonly shared: ReadonlyMap<string, BpfMap>
  private readonly folder: string
  private attached: { tries: Tries; program: number; mode: PrefilterMode; denied: Set<string> } | undefined

  /** `shared`: maps of the main object, which drops are counted and told in. `folder`: where the tries are pinned. */
  constructor(config: PrefilterConfig, shared: ReadonlyMap<string, BpfMap>, folder: string) {
    this.config = config
    this.shared = shared
    this.folder = folder
  }

  /** How it is attached; undefined while it isn't. */
  get mode(): PrefilterMode | undefined {
    return this.attached?.mode
  }

  /** Makes `prefixes` all that is denied. Throws DatapathError, with what the kernel lacks, when the kernel can't. */
  set(prefixes: readonly string[]): void {
    if (prefixes.length === 0) return this.detach()
    if (this.attached === undefined) return this.attach(prefixes)
    const { tries, denied } = this.attached
    for (const prefix of prefixes.filter((each) => !denied.has(each))) { trieOf(tries, prefix).update(keyOf(prefix), Buffer.from([1])); denied.add(prefix) }
    for (const prefix of [...denied].filter((each) => !prefixes.includes(each))) { trieOf(tries, prefix).delete(keyOf(prefix)); denied.delete(prefix) }
  }

  /** New tries, filled before the program is attached in the place of an earlier agent's: tries can't be listed before 4.16. */
  private attach(prefixes: readonly string[]): void {
    const object = readElf(this.config.objectFile)
    const open: number[] = []
    try {
      const made = TRIES.map((name) => { const trie = this.makeTrie(object, name); open.push(trie.fd); return [name, trie] as const })
      const tries = Object.fromEntries(made) as Tries
      for (const prefix of prefixes) trieOf(tries, prefix).update(keyOf(prefix), Buffer.from([1]))
      const program = this.load(object, made)
      open.push(program)
      const mode = this.attachTo(program)
      for (const [name, { fd }] of made) replacePin(fd, path.join(this.folder, name))
      this.attached = { tries, program, mode, denied: new Set(prefixes) }
    } catch (error) {
      for (const fd of open) fs.closeSync(fd)
      throw error
    }
  }

  private makeTrie(object: ElfObject, name: string): BpfMap {
    const shape = object.maps.get(name)
    if (shape === undefined) throw new DatapathError(`${this.config.objectFile} has no map ${name}: it is of another version`)
    try {
      return new BpfMap(name, createMap(name, shape), shape, 1)
    } catch (error) {
      if (!(error instanceof DatapathError) || error.errno !== os.constants.errno.EINVAL) throw error
      throw new DatapathError(missingLine({ feature: 'BPF map type lpm_trie', answer: `BPF_MAP_CREATE: ${errnoName(error.errno)}`, since: '4.11' }), { errno: error.errno, cause: error })
    }
  }

  private load(object: ElfObject, tries: readonly (readonly [name: string, trie: BpfMap])[]): number {
    const program = object.programs.find(({ name }) => name === 'prefilter')
    if (program === undefined) throw new DatapathError(`${this.config.objectFile} has no program prefilter: it is of another version`)
    return loadElfProgram(object, program, new Map([...this.shared, ...tries].map(([name, { fd }]) => [name, fd]))).fd
  }

  private attachTo(program: number): PrefilterMode {
    const { mode, device } = this.config
    const refused: string[] = []
    for (const wanted of mode === 'auto' ? ['native', 'generic'] as const : [mode]) {
      const error = withNetlink((netlink) => setXdp(netlink, requireLink(netlink, device).ifindex, program, XDP_MODE[wanted]))
      if (error === undefined) return wanted
      refused.push(`${wanted}: RTM_SETLINK: ${errnoName(error)}`)
    }
    throw new DatapathError(`XDP on ${device}: not supported by this kernel or the device's driver (${refused.join('; ')}); generic mode came with 4.12`)
  }

  private detach(): void {
    detachXdp(this.config.device)
    for (const name of TRIES) fs.rmSync(path.join(this.folder, name), { force: true })
    this.close()
  }

  /** Closes descriptors; the program goes on. */
  close(): void {
    if (this.attached === undefined) return
    for (const fd of [...TRIES.map((name) => this.attached!.tries[name].fd), this.attached.program]) fs.closeSync(fd)
    this.attached = undefined
  }
}

/** Detaches what an agent has attached to one of these devices; while it is attached its tries are pinned in `folder`. What others have there stays when it is not. */
export function removePrefilter(folder: string, devices: readonly string[]): void {
  const files = TRIES.map((name) => path.join(folder, name)).filter((file) => fs.existsSync(file))
  if (files.length === 0) return
  const present = withNetlink(listLinks).map(({ name }) => name)
  for (const device of devices.filter((name) => present.includes(name))) detachXdp(device)
  for (const file of files) fs.rmSync(file)
}

/** Whatever mode it is in. */
function detachXdp(device: string): void {
  withNetlink((netlink) => {
    const { ifindex } = requireLink(netlink, device)
    for (const mode of [XDP_MODE.native, XDP_MODE.generic]) setXdp(netlink, ifindex, -1, mode)
  })
}
