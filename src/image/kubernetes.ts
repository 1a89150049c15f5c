import { readFileSync, statSync, existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { sha256, sha256File } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import type { Context } from '../core/context.ts'
import { buildDebianKubernetes } from './kubernetes-debian.ts'
import { fetchKubernetesRelease, isReleaseVersion } from './kubernetes-release.ts'
import type { Kubernetes } from './types.ts'

/** Programs a folder given as `--kubernetes DIR` must have. */
export const kubernetesPrograms = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl', 'etcd'] as const

/**
 * Kubernetes programs of what the user names: nothing (built from Debian bookworm's source package, once), a release (`v1.29.3`, downloaded), or a folder,
 * used in place. Throws KernelbedError; `usage` for a spec that is none of these or a folder that lacks programs.
 */
export async function ensureKubernetes(spec: string | undefined, ctx: Context): Promise<Kubernetes> {
  checkKubernetesSpec(spec)
  if (spec === undefined) return describe(await buildDebianKubernetes(ctx), ctx)
  return describe(isReleaseVersion(spec) ? await fetchKubernetesRelease(spec, ctx) : resolve(spec), ctx)
}

/** Validates without starting anything. Throws a usage error. */
export function checkKubernetesSpec(spec: string | undefined): void {
  if (spec === undefined || isReleaseVersion(spec)) return
  const dir = resolve(spec)
  if (!existsSync(dir) || !statSync(dir).isDirectory()) throw usageError(`--kubernetes ${spec}: neither a release like v1.29.3 nor a folder`, 'give a folder that holds kube-apiserver, kubelet, …, or leave the flag out to build Debian\'s')
  const missing = kubernetesPrograms.filter((program) => !existsSync(join(dir, program)))
  if (missing.length > 0) throw usageError(`--kubernetes ${spec}: missing ${missing.join(', ')}`, `the folder must hold ${kubernetesPrograms.join(', ')}`)
  for (const program of kubernetesPrograms) checkAmd64(join(dir, program))
}

/** e_machine of an ELF header (elf(5), offset 18): 62 is x86-64. */
function checkAmd64(path: string): void {
  const head = readFileSync(path).subarray(0, 20)
  if (head.length < 20 || head.readUInt32BE(0) !== 0x7f454c46) throw usageError(`${path} is not a Linux program`, 'give programs built for linux/amd64')
  if (head.readUInt16LE(18) !== 62) throw usageError(`${path} is for another architecture (ELF machine ${head.readUInt16LE(18)})`, 'give programs built for linux/amd64')
}

async function describe(bin: string, ctx: Context): Promise<Kubernetes> {
  const { stdout } = await runCommand(join(bin, 'kubelet'), ['--version'], { signal: ctx.signal, timeoutMs: 30_000 })
  const version = /v\d+\.\d+\.\d+\S*/.exec(stdout)?.[0]
  if (version === undefined) throw new KernelbedError(`${join(bin, 'kubelet')} does not print a Kubernetes version`, { blame: 'host', details: stdout })
  return { version, bin, digest: await digestOf(bin) }
}

/** kubelet by content, as it goes into the guest; the others by size and time, which is enough to tell builds apart. */
async function digestOf(bin: string): Promise<string> {
  const others = kubernetesPrograms.map((program) => `${program} ${statSync(join(bin, program)).size} ${statSync(join(bin, program)).mtimeMs}`)
  return sha256(await sha256File(join(bin, 'kubelet')), ...others)
}
