import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { ensureBootFiles, ensureGuestImage, ensureKubernetes } from '../../image/index.ts'
import type { Kernel } from '../../kernels/index.ts'
import { chooseAccel, launchMachine } from '../../machine/index.ts'
import type { Comparison } from './compare.ts'
import { ensureVirtme } from './virtme.ts'

/** A machine's boot to the answer of a command over SSH, beside virtme-ng's to its shell: same kernel, memory and acceleration. */
export async function bootComparison(kernel: Kernel, ctx: Context): Promise<Comparison> {
  const virtme = await ensureVirtme(ctx)
  const image = await ensureGuestImage(await ensureKubernetes(undefined, ctx), ctx)
  const [boot, accel] = [await ensureBootFiles(kernel, ctx), await chooseAccel(ctx, kernel)]
  const ours = async (): Promise<number> => {
    const start = performance.now()
    const machine = await launchMachine({ name: 'node1', index: 1, kernel, image, boot, memoryMiB: 1024, cpus: 1, wireSocket: join(ctx.sockets, 'node1.wire') }, accel, ctx)
    try {
      await machine.exec('uname -r')
      return (performance.now() - start) / 1000
    } finally {
      await machine.stop()
    }
  }
  return {
    metrics: [{ name: `from nothing to a shell that answers on ${kernel.release} (${accel})`, unit: 's', better: 'less', digits: 1 }],
    sides: [{ name: 'kernelbed, over SSH', measure: async () => [await ours()] }, { name: `virtme-ng ${virtme.version}, in its shell`, measure: async () => [await virtme.boot(kernel, accel)] }],
  }
}
