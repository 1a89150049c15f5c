import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { agentHandleSchema, type StartedAgent } from '../agent/index.ts'
import { cached, cachedEntry, keepNewest, sha256 } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { featureTablesSchema, type FeatureTable } from '../probe/index.ts'
import type { E2eOptions } from './options.ts'
import { projectDir } from './places.ts'
import type { Prepared } from './prepare.ts'

/** A ready cluster on disk: a folder for each machine, `cluster`, and `snapshot.json`. */
export interface Snapshot {
  readonly dir: string
  readonly agent: StartedAgent
  /** What the kernels of its machines can do. */
  readonly features: readonly FeatureTable[]
  /** Removes it: it does not restore. */
  discard(): void
}

type Saved = Pick<Snapshot, 'agent' | 'features'>

const manifestSchema = z.object({ handle: agentHandleSchema, features: featureTablesSchema })

/** Certificates in a saved cluster are good for 30 days. */
const oldestMs = 20 * 24 * 3600 * 1000
/** Each takes 0.8 GB of disk or more; those used least recently go first. */
const kept = 12
const name = 'snapshot.json'

/**
 * Names a ready cluster by the content of everything it is made of: kernels, guest image, Kubernetes, container images, the agent's manifests, machine
 * sizes, QEMU, and the code here that puts them together. Undefined where it can't be saved: an agent that does not say what it installs, one
 * that must refuse the kernel, or one built with a fault, which is run once.
 */
export async function snapshotKey({ nodes, kubernetes, image, imagesDisk, driver, agentOptions, agentEtcd }: Prepared, { memoryMiB, cpus: vcpus }: E2eOptions, ctx: Context): Promise<string | undefined> {
  if (driver.installDigest === undefined || agentOptions.fault !== undefined || agentOptions.refuses) return undefined
  const { stdout } = await runCommand('qemu-system-x86_64', ['--version'], { signal: ctx.signal })
  const parts = [
    '2', stdout, codeDigest(), ctx.cache, image.digest, madeAt(image.disk), imagesDisk, madeAt(imagesDisk), driver.name, driver.installDigest(agentOptions), String(agentEtcd), kubernetes.bin, kubernetes.version, String(memoryMiB), String(vcpus ?? 'default'),
    // Under KVM a guest sees this host's processor.
    ...nodes.flatMap(({ kernel, boot, accel }) => [kernel.digest, kernel.image, boot.initramfs ?? '', boot.modulesDisk ?? '', madeAt(boot.modulesDisk), accel, accel === 'kvm' ? (cpus()[0]?.model ?? '') : '']),
  ]
  return `${[...new Set(nodes.map(({ kernel }) => kernel.line))].join('+')}-${driver.name}-${sha256(...parts).slice(0, 16)}`
}

/** A disk that was removed from the cache and made again has the same files in other blocks: overlays on the first one are of no use on it. */
const madeAt = (disk: string | undefined): string => String(disk === undefined ? '' : statSync(disk, { throwIfNoEntry: false })?.mtimeMs)

/** Of the stages that a ready cluster comes from. */
function codeDigest(): string {
  const hash = createHash('sha256')
  for (const stage of ['machine', 'probe', 'cluster', 'agent']) {
    const folder = join(projectDir, 'src', stage)
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((each) => /\.(ts|c|h)$/.test(each) && !each.endsWith('.test.ts')).sort()) hash.update(`\0${stage}/${file}\0`).update(readFileSync(join(folder, file)))
  }
  hash.update(readFileSync(join(projectDir, 'src/kernels/features.ts')))
  return hash.digest('hex')
}

/** The snapshot under a key, unless there is none, it is damaged, or too old. */
export function findSnapshot(key: string, ctx: Context): Snapshot | undefined {
  const dir = cachedEntry(ctx, 'snapshots', key)
  if (dir === undefined) return undefined
  const saved = readManifest(dir)
  if (saved === undefined || Date.now() - statSync(join(dir, name)).mtimeMs > oldestMs) {
    rmSync(dir, { recursive: true, force: true })
    return undefined
  }
  keepNewest(ctx, 'snapshots', key, kept)
  return snapshotIn(dir, saved)
}

const snapshotIn = (dir: string, saved: Saved): Snapshot => ({ ...saved, dir, discard: () => rmSync(dir, { recursive: true, force: true }) })

function readManifest(dir: string): Saved | undefined {
  try {
    const { handle, features } = manifestSchema.parse(JSON.parse(readFileSync(join(dir, name), 'utf8')))
    return { agent: { handle }, features }
  } catch {
    return undefined
  }
}

/** Makes one: `save` fills the folders it asks for by name. Two runs that come to it at once save it once. */
export async function saveSnapshot(key: string, { agent, features }: Saved, ctx: Context, save: (dir: (part: string) => string) => Promise<void>): Promise<Snapshot> {
  const dir = await cached(ctx, 'snapshots', key, async (entry) => {
    await save((part) => {
      const made = join(entry, part)
      mkdirSync(made, { recursive: true, mode: 0o700 })
      return made
    })
    writeFileSync(join(entry, name), JSON.stringify({ handle: agent.handle, features }))
  })
  keepNewest(ctx, 'snapshots', key, kept)
  return snapshotIn(dir, { agent, features })
}
