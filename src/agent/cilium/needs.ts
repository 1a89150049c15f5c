import { usageError } from '../../core/errors.ts'
import { atLeast, type CiliumVersion } from './version.ts'

/** Kubernetes that a version runs on, by the second number of its version. */
interface Kubernetes { readonly from: number; /** First one that is too new. */ readonly before?: number; readonly reason: string }

/** By each release's `MinimalVersionConstraint` (pkg/k8s/version), and the API that it registers its CRDs by: `apiextensions.k8s.io/v1` since 1.9 (cilium/cilium#11477), until then `v1beta1`, gone with Kubernetes 1.22. */
function kubernetesOf(version: CiliumVersion): Kubernetes {
  if (!atLeast(version, '1.9')) return { from: atLeast(version, '1.7') ? 11 : 7, before: 22, reason: 'it registers its CustomResourceDefinitions by apiextensions.k8s.io/v1beta1, which Kubernetes 1.22 ended' }
  return { from: atLeast(version, '1.16') ? 21 : atLeast(version, '1.10') ? 16 : 11, reason: 'it refuses an older one' }
}

/** Throws a usage error where a version cannot run on Kubernetes 1.`minor`. */
export function assertKubernetes(version: CiliumVersion, minor: number): void {
  const { from, before, reason } = kubernetesOf(version)
  if (minor >= from && (before === undefined || minor < before)) return
  const needed = minor < from ? `1.${from} or later` : `one before 1.${before}`
  throw usageError(`Cilium ${version.text} does not run on Kubernetes 1.${minor}: it needs ${needed}, as ${minor < from ? 'it refuses an older one' : reason}`, `--kubernetes VERSION takes a release (1.${minor < from ? from : (before ?? from) - 1}.0) or a folder of its programs; or give another version of Cilium`)
}

/**
 * MiB that an emulated machine should have. Versions before 1.4 allocate their maps of connections whole (a million TCP entries each for IPv4 and IPv6, a quarter of that for the rest: some 350 MiB of kernel
 * memory); all before 1.18 run clang on the node, beside the agent, Envoy, kubelet and containerd.
 */
export const memoryMiB = 2048

/** How much slower than lash: versions before 1.18 compile their programs with clang on the node, before 1.5 for each pod anew. */
export const patienceOf = (version: CiliumVersion): number => (atLeast(version, '1.5') ? 3 : 5)
