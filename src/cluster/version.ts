import { KernelbedError } from '../core/errors.ts'

/** 20 of `v1.20.2`: flags and configuration versions depend on it. */
export function minorOf(version: string): number {
  const match = /^v?1\.(\d+)(\.|$)/.exec(version)
  if (!match) throw new KernelbedError(`cannot tell the Kubernetes version from "${version}"`, { blame: 'cluster', hint: 'kube-apiserver --version should print "Kubernetes v1.x.y"' })
  return Number(match[1])
}
