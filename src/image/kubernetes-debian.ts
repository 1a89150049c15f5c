import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cached } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { privateApt, unpackPackages } from '../kernels/apt.ts'
import { ensureHostTools } from './host-tools.ts'

const suite = 'bookworm'
const built = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet'] as const
const buildTimeoutMs = 60 * 60_000

/**
 * Builds the server programs of Debian bookworm's source package `kubernetes` (1.20.2, the whole upstream tree with its vendor folder), the way its debian/rules
 * does, and adds kubectl and etcd from Debian's packages, unpacked, not installed. Answers the folder of programs. 6 to 15 minutes the first time.
 */
export async function buildDebianKubernetes(ctx: Context): Promise<string> {
  const entry = await cached(ctx, 'kubernetes', `debian-${suite}-2`, async (dir) => {
    await ensureHostTools(ctx, 'kubernetes build')
    const work = join(dir, 'work')
    const source = await inStep(ctx.progress, 'Kubernetes source package', async (step) => {
      const tree = await fetchSource(work, ctx, (line) => step.update(line))
      await renewReflect2(tree, work, ctx, (line) => step.update(line))
      return tree
    })
    await inStep(ctx.progress, 'build Kubernetes from Debian\'s source (6 to 15 min, once)', (step) => make(source, ctx, (line) => step.update(line)))
    await assemblePrograms(dir, join(source, '_output/bin'), ctx)
    // Go's module cache is read-only; make it removable.
    await runCommand('chmod', ['-R', 'u+w', work], { signal: ctx.signal })
    rmSync(work, { recursive: true, force: true })
  })
  return join(entry, 'bin')
}

/** `dir/bin` with what was built, kubectl and etcd. */
export async function assemblePrograms(dir: string, output: string, ctx: Context): Promise<void> {
  const bin = join(dir, 'bin')
  mkdirSync(bin, { recursive: true })
  for (const program of built) copyFileSync(join(output, program), join(bin, program))
  await inStep(ctx.progress, 'etcd and kubectl from Debian', async (step) => {
    const unpacked = join(dir, 'debs')
    mkdirSync(unpacked)
    await unpackPackages(await privateApt(suite, ctx), [{ name: 'etcd-server' }, { name: 'kubernetes-client' }], unpacked, ctx, (line) => step.update(line))
    for (const program of ['etcd', 'kubectl']) copyFileSync(join(unpacked, 'usr/bin', program), join(bin, program))
    rmSync(unpacked, { recursive: true })
  })
}

async function fetchSource(work: string, ctx: Context, onLine: (line: string) => void): Promise<string> {
  mkdirSync(work, { recursive: true })
  const apt = await privateApt(suite, ctx, { sources: true })
  await apt.run('apt-get', ['source', '--only-source', 'kubernetes'], { cwd: work, onLine })
  const tree = readdirSync(work).find((name) => name.startsWith('kubernetes-') && existsSync(join(work, name, 'Makefile')))
  if (tree === undefined) throw new KernelbedError('Debian\'s source package of Kubernetes did not unpack to a tree', { blame: 'host', details: readdirSync(work).join('\n') })
  return join(work, tree)
}

/**
 * The tree vendors modern-go/reflect2 1.0.1, which under Go 1.18 and later walks maps with a stale iterator layout: kube-apiserver and kubelet
 * end in `unexpected fault address` after minutes (seen in aeshashbody under reflect2.UnsafeIterate). Debian's package is 1.0.2, which is right.
 */
async function renewReflect2(tree: string, work: string, ctx: Context, onLine: (line: string) => void): Promise<void> {
  const unpacked = join(work, 'reflect2')
  mkdirSync(unpacked)
  await unpackPackages(await privateApt(suite, ctx), [{ name: 'golang-github-modern-go-reflect2-dev' }], unpacked, ctx, onLine)
  const vendored = join(tree, 'vendor/github.com/modern-go/reflect2')
  rmSync(vendored, { recursive: true })
  cpSync(join(unpacked, 'usr/share/gocode/src/github.com/modern-go/reflect2'), vendored, { recursive: true })
}

/** GOPATH and HOME inside the tree and Debian's Go first in PATH: otherwise its code generators end in `Permission denied`. */
async function make(tree: string, ctx: Context, onLine: (line: string) => void): Promise<void> {
  const env = { GOPATH: join(tree, '.go'), HOME: join(tree, '.home'), CGO_ENABLED: '0', PATH: `/usr/lib/go/bin:${process.env['PATH'] ?? '/usr/bin:/bin'}` }
  const link = join(tree, '.go/src/k8s.io')
  mkdirSync(link, { recursive: true })
  mkdirSync(env.HOME, { recursive: true })
  await runCommand('ln', ['-sfn', '../../..', join(link, 'kubernetes')])
  await runCommand('make', [`WHAT=${built.map((program) => `cmd/${program}`).join(' ')}`, 'GOLDFLAGS=-s -w', 'GOFLAGS=-v'], { cwd: tree, env, timeoutMs: buildTimeoutMs, signal: ctx.signal, onLine, hint: 'the build needs 6 GB of disk and 3 GB of memory; see its output above' })
}
