/** Where maps are pinned. */
import fs from 'node:fs'
import path from 'node:path'
import { systemError } from './errors.ts'
import { errno, mount } from './system.ts'

const BPFFS_MAGIC = 0xcafe4a11

/** Mounts bpffs at the folder unless it is there, makes Cilium's `tc/globals` in it and returns that. */
export function openPinFolder(bpffs: string): string {
  fs.mkdirSync(bpffs, { recursive: true })
  if (fs.statfsSync(bpffs).type !== BPFFS_MAGIC && mount('bpf', bpffs, 'bpf', 0, null) < 0)
    throw systemError(`mounting the BPF file system at ${bpffs}`, errno())
  const folder = pinFolder(bpffs)
  fs.mkdirSync(folder, { recursive: true })
  return folder
}

export function pinFolder(bpffs: string): string {
  return path.join(bpffs, 'tc', 'globals')
}

/** Removes our pins, and the folders if nothing else is in them. */
export function removePins(bpffs: string): void {
  const folder = pinFolder(bpffs)
  if (!fs.existsSync(folder)) return
  for (const name of fs.readdirSync(folder)) if (name.startsWith('cilium_')) fs.unlinkSync(path.join(folder, name))
  for (const empty of [folder, path.dirname(folder)]) if (fs.readdirSync(empty).length === 0) fs.rmdirSync(empty)
}
