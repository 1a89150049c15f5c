import { findDriver } from '../agent/index.ts'
import { makeImagesDisk } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { ensureGuestImage, ensureKubernetes, ensurePauseImage, ensureWorkloadImage, type GuestImage, type Kubernetes } from '../image/index.ts'
import type { E2eOptions } from './options.ts'

/** What every kernel's run uses alike; made once and cached. */
export interface Shared {
  readonly kubernetes: Kubernetes
  readonly image: GuestImage
  readonly imagesDisk: string
  /** Reference of the workload image, which suites deploy. */
  readonly workloadImage: string
}

/** Makes what does not depend on the kernel. A matrix does this before its cells begin, so that they find it in the cache. */
export async function prepareShared(options: E2eOptions, ctx: Context): Promise<Shared> {
  const kubernetes = await ensureKubernetes(options.kubernetes, ctx)
  const image = await ensureGuestImage(kubernetes, ctx)
  const [pause, workload, agent] = await Promise.all([ensurePauseImage(ctx), ensureWorkloadImage(ctx), findDriver(options.agent).prepareImages(ctx, driverOptions(options))])
  const imagesDisk = await makeImagesDisk([pause, workload, ...agent], image, ctx)
  return { kubernetes, image, imagesDisk, workloadImage: workload.ref }
}

export const driverOptions = (options: E2eOptions): { fault?: string } => (options.fault === undefined ? {} : { fault: options.fault })
