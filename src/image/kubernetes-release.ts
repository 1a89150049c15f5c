import { createWriteStream } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, rm } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { cached, sha256File } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep, type Step } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { privateApt, unpackPackages } from '../kernels/apt.ts'

const programs = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl'] as const

export const isReleaseVersion = (spec: string): boolean => /^v\d+\.\d+\.\d+(-[\w.]+)?$/.test(spec)

/**
 * Downloads the programs of a Kubernetes release, checked against the .sha256 beside each, from `KERNELBED_MIRROR` (folder or URL laid out like dl.k8s.io:
 * `release/<version>/bin/linux/amd64/`) or dl.k8s.io. etcd is Debian's. Answers the folder of programs.
 */
export async function fetchKubernetesRelease(version: string, ctx: Context): Promise<string> {
  const entry = await cached(ctx, 'kubernetes', `release-${version}`, (dir) =>
    inStep(ctx.progress, `download Kubernetes ${version}`, async (step) => {
      const bin = join(dir, 'bin')
      await mkdir(bin)
      for (const program of programs) await fetchProgram(version, program, join(bin, program), step, ctx)
      await unpackPackages(await privateApt('bookworm', ctx), [{ name: 'etcd-server' }], join(dir, 'debs'), ctx)
      await copyFile(join(dir, 'debs/usr/bin/etcd'), join(bin, 'etcd'))
      await rm(join(dir, 'debs'), { recursive: true })
    }))
  return join(entry, 'bin')
}

async function fetchProgram(version: string, program: string, target: string, step: Step, ctx: Context): Promise<void> {
  step.update(program)
  const base = process.env['KERNELBED_MIRROR'] ?? 'https://dl.k8s.io'
  const path = `release/${version}/bin/linux/amd64/${program}`
  await get(base, path, target, ctx)
  await get(base, `${path}.sha256`, `${target}.sha256`, ctx)
  const expected = (await readFile(`${target}.sha256`, 'utf8')).trim().split(/\s/)[0]
  const actual = await sha256File(target)
  if (actual !== expected) throw new KernelbedError(`damaged or truncated download: ${base}/${path}`, { blame: 'host', details: `sha256 ${actual}\nexpected ${expected}`, hint: 'try again; nothing of it is kept' })
  await rm(`${target}.sha256`)
  await chmod(target, 0o755)
}

async function get(base: string, path: string, target: string, ctx: Context): Promise<void> {
  if (!/^https?:/.test(base)) return copyFromFolder(join(base, path), target)
  const url = `${base.replace(/\/+$/, '')}/${path}`
  const response = await fetch(url, { signal: ctx.signal }).catch((cause: unknown) => unreachable(url, cause))
  if (!response.ok || response.body === null) throw new KernelbedError(`${url}: HTTP ${response.status}`, { blame: 'host', hint: 'is this a release of Kubernetes? Leave --kubernetes out to build Debian\'s' })
  await pipeline(Readable.fromWeb(response.body), createWriteStream(target), { signal: ctx.signal })
}

async function copyFromFolder(from: string, target: string): Promise<void> {
  if (!existsSync(from)) throw new KernelbedError(`KERNELBED_MIRROR has no ${from}`, { blame: 'host', hint: 'the folder is laid out like dl.k8s.io: release/<version>/bin/linux/amd64/' })
  await copyFile(from, target)
}

function unreachable(url: string, cause: unknown): never {
  throw new KernelbedError(`cannot download ${url}`, { blame: 'host', hint: 'set KERNELBED_MIRROR to a folder or URL that has it, give a folder of programs, or leave --kubernetes out to build Debian\'s', cause })
}
