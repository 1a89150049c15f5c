import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { ensureBusybox } from './busybox.ts'
import { writeImageTar, type ImageFile, type ImageSpec } from './image-tar.ts'
import type { ImageTar } from './types.ts'

const pauseSource = join(import.meta.dirname, 'guest/pause.c')
const probeSource = join(import.meta.dirname, '../../fixtures/workload/probe.c')

export const pauseRef = 'kernelbed.local/pause:1'
export const workloadRef = 'kernelbed.local/workload:1'

/** The image of a pod's sandbox: one static program. containerd's `sandbox_image` must name it, as no registry is reached. */
export const ensurePauseImage = (ctx: Context): Promise<ImageTar> =>
  ensureImage('pause', pauseRef, [readFileSync(pauseSource, 'utf8')], ctx, async (dir) => ({
    files: [await compiled(pauseSource, join(dir, 'pause'), '/pause', ctx)],
    entrypoint: ['/pause'],
  }))

/** The image that workloads of the suites run: busybox with a link for each applet, and the traffic program `/probe` (fixtures/workload/probe.c). */
export async function ensureWorkloadImage(ctx: Context): Promise<ImageTar> {
  const busybox = await ensureBusybox(ctx)
  const probe = existsSync(probeSource) ? readFileSync(probeSource, 'utf8') : ''
  return ensureImage('workload', workloadRef, [basename(dirname(busybox)), probe], ctx, async (dir) => ({
    files: [
      { path: '/bin/busybox', from: busybox, mode: 0o755 },
      ...(await applets(busybox, ctx)).map((applet): ImageFile => ({ path: `/bin/${applet}`, link: 'busybox' })),
      ...(probe === '' ? [] : [await compiled(probeSource, join(dir, 'probe'), '/probe', ctx)]),
      { path: '/etc/passwd', content: 'root:x:0:0:root:/:/bin/sh\n' },
      { path: '/etc/group', content: 'root:x:0:\n' },
      { path: '/tmp/.keep', content: '' },
    ],
    entrypoint: probe === '' ? ['/bin/sleep', '1000000000'] : ['/probe'],
  }))
}

async function ensureImage(name: string, ref: string, inputs: readonly string[], ctx: Context, spec: (dir: string) => Promise<Omit<ImageSpec, 'ref'>>): Promise<ImageTar> {
  const recipe = ['own-images.ts', 'image-tar.ts'].map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
  const digest = sha256(name, ...inputs, ...recipe)
  const entry = await cached(ctx, 'images', `container-${name}-${digest.slice(0, 16)}`, (dir) =>
    inStep(ctx.progress, `container image ${name}`, async () => {
      await writeImageTar({ ...(await spec(dir)), ref }, join(dir, 'image.tar'), ctx)
    }))
  return { ref, path: join(entry, 'image.tar'), digest }
}

async function compiled(source: string, output: string, path: string, ctx: Context): Promise<ImageFile> {
  await runCommand('gcc', ['-static', '-Os', '-s', '-Wall', '-Wextra', '-o', output, source], { signal: ctx.signal })
  return { path, from: output, mode: 0o755 }
}

async function applets(busybox: string, ctx: Context): Promise<string[]> {
  const { stdout } = await runCommand(busybox, ['--list'], { signal: ctx.signal })
  return stdout.split('\n').map((line) => line.trim()).filter((name) => name !== '' && name !== 'busybox').sort()
}
