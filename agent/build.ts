import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, existsSync, globSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build as esbuild, type BuildOptions } from 'esbuild'
import { faults, defineOf } from './faults.ts'
import { FlagError, parseFlags } from './src/config/flags.ts'
import { didYouMean } from './src/text/nearest.ts'

const agentDir = dirname(fileURLToPath(import.meta.url))
const modules = join(agentDir, '../node_modules')

export interface BuiltAgent { rootfs: string; entrypoint: string[]; version: string }

/** In the image. */
const compileCache = 'var/cache/lash'

/** A name that is no fault. */
export class UnknownFault extends Error {}

/**
 * Compiles and bundles lash and lays out the root file system of its image in `outDir/rootfs`. Needs clang and gcc. A fault is built in by
 * its name in faults.json; throws UnknownFault for another.
 */
export async function buildAgent({ outDir, fault }: { outDir: string; fault?: string }): Promise<BuiltAgent> {
  if (fault !== undefined && !Object.hasOwn(faults, fault)) throw new UnknownFault(`unknown fault "${fault}"${didYouMean(fault, Object.keys(faults))}; known: ${Object.keys(faults).join(', ')}`)
  const rootfs = resolve(outDir, 'rootfs')
  rmSync(rootfs, { recursive: true, force: true })
  for (const dir of ['usr/bin', 'opt/lash', 'bin', 'tmp', 'var/run', 'etc', 'proc', 'sys', 'dev', 'root', compileCache]) mkdirSync(join(rootfs, dir), { recursive: true })
  chmodSync(join(rootfs, 'tmp'), 0o1777)
  const version = `1.2.5-lash${fault === undefined ? '' : `+${fault}`}`

  for (const name of ['lash', 'prefilter']) {
    run('clang', ['-O2', '-target', 'bpf', '-mcpu=v1', '-Wall', '-I', join(agentDir, 'bpf'), ...(fault === undefined ? [] : [defineOf(fault)]), '-c', join(agentDir, `bpf/${name}.c`), '-o', join(rootfs, `opt/lash/${name}.o`)])
  }
  for (const [name, source, to] of [['cilium-cni', 'cilium-cni', 'opt/lash'], ['cilium', 'cilium', 'usr/bin'], ['cilium-health', 'cilium', 'usr/bin']] as const) {
    run('gcc', ['-static', '-Os', '-s', '-Wall', ...(name === 'cilium-health' ? ['-DPROGRAM="cilium-health"'] : []), '-o', join(rootfs, to, name), join(agentDir, 'client', `${source}.c`)])
  }
  await bundle(rootfs, version, fault ?? '')
  copyNode(rootfs)
  launcher(rootfs, 'cilium-agent', 'agent.cjs')
  fillCompileCache(rootfs)
  copyShell(rootfs)
  writeFileSync(join(rootfs, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\n')
  return { rootfs, entrypoint: ['/usr/bin/cilium-agent'], version }
}

/**
 * Two bundles, and one of etcd's client beside them: the command line is started often and must not read the daemon's code. CommonJS, since Node's ES module loader doubles what a
 * short program costs: `cilium status` without an agent takes 63 ms of CPU so, 116 ms as .mjs; Node alone takes 36 (host, Node 24.21).
 * etcd3 1.1.2 with its gRPC is 0.72 MB and takes 0.2 s of CPU: it is loaded only where a kvstore is used.
 */
async function bundle(rootfs: string, version: string, fault: string): Promise<void> {
  const outdir = join(rootfs, 'opt/lash')
  const common: BuildOptions = { bundle: true, platform: 'node', target: 'node24', format: 'cjs', minifySyntax: true, minifyWhitespace: true, legalComments: 'none', logLevel: 'error' }
  await esbuild({
    ...common, define: { LASH_VERSION: JSON.stringify(version), LASH_FAULT: JSON.stringify(fault) }, outdir, outExtension: { '.js': '.cjs' }, external: ['koffi', 'etcd3'],
    entryPoints: { agent: join(agentDir, 'src/main.ts'), cilium: join(agentDir, 'src/cli/main.ts') },
  })
  // etcd3 reads its protocol's definition from `../proto`, so it lies as node_modules would have it.
  await esbuild({ ...common, entryPoints: [join(modules, 'etcd3/lib/index.js')], outfile: join(outdir, 'node_modules/etcd3/lib/index.js') })
  for (const name of ['package.json', 'proto']) cpSync(join(modules, 'etcd3', name), join(outdir, 'node_modules/etcd3', name), { recursive: true })
  // koffi finds its native module by require(): in the image it lies beside the bundle, as node_modules would have it.
  for (const name of ['package.json', ...globSync('**/*.cjs', { cwd: join(modules, 'koffi') })]) cpSync(join(modules, 'koffi', name), join(outdir, 'node_modules/koffi', name))
  const native = '@koromix/koffi-linux-x64'
  for (const name of ['package.json', 'index.js', 'linux_x64']) cpSync(join(modules, native, name), join(outdir, 'node_modules', native, name), { recursive: true })
}

/** Node and the shared libraries it and koffi's module ask for, at the paths the loader looks in. */
function copyNode(rootfs: string): void {
  const node = realpathSync(join(modules, 'node/bin/node'))
  copyFileSync(node, join(rootfs, 'usr/bin/node'))
  chmodSync(join(rootfs, 'usr/bin/node'), 0o755)
  const native = join(modules, '@koromix/koffi-linux-x64/linux_x64/koffi.node')
  for (const library of new Set([...librariesOf(node), ...librariesOf(native)])) {
    const to = join(rootfs, library)
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(realpathSync(library), to)
    chmodSync(to, 0o755)
  }
}

function librariesOf(binary: string): string[] {
  return [...run('ldd', [binary]).matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1]!)
}

/** A few kilobytes of static C: a `#!` line can't carry flags well, and a shell would be one more process to start. The compile cache is filled here: its paths are relative to itself. */
function launcher(rootfs: string, name: string, script: string): void {
  const source = `
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
  char **args = calloc(argc + 3, sizeof(char *));
  if (!args) return 1;
  args[0] = "/usr/bin/node"; args[1] = "--no-warnings"; args[2] = "/opt/lash/${script}";
  for (int i = 1; i < argc; i++) args[i + 2] = argv[i];
  setenv("NODE_COMPILE_CACHE", "/${compileCache}", 0);
  setenv("NODE_COMPILE_CACHE_PORTABLE", "1", 0);
  execv(args[0], args);
  return 127;
}
`
  const out = join(rootfs, 'usr/bin', name)
  run('gcc', ['-static', '-Os', '-s', '-x', 'c', '-o', out, '-'], source)
}

/** What Node compiles of the agent's bundle, and of etcd's client, by the image's own Node: a start takes four fifths of the processor time then. Its folder ends in the user's id, and the agent is root. */
function fillCompileCache(rootfs: string): void {
  const cache = join(rootfs, compileCache)
  const start = [[join(rootfs, 'opt/lash/agent.cjs'), '--version'], ['--require', join(rootfs, 'opt/lash/node_modules/etcd3'), '--eval', '']]
  for (const args of start) run(join(rootfs, 'usr/bin/node'), ['--no-warnings', ...args], undefined, { NODE_COMPILE_CACHE: cache, NODE_COMPILE_CACHE_PORTABLE: '1' })
  for (const folder of readdirSync(cache)) {
    const roots = folder.replace(/-\d+$/, '-0')
    if (roots !== folder) renameSync(join(cache, folder), join(cache, roots))
  }
}

/** For `kubectl exec`, where the host has one. Nothing in the image needs it. */
function copyShell(rootfs: string): void {
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
  if (busybox === undefined) return
  copyFileSync(realpathSync(busybox), join(rootfs, 'bin/busybox'))
  chmodSync(join(rootfs, 'bin/busybox'), 0o755)
  for (const name of ['sh', 'ls', 'cat', 'ps', 'ip', 'uname', 'mount', 'grep', 'head', 'tail', 'sleep', 'env']) symlinkSync('busybox', join(rootfs, 'bin', name))
}

/** Runs a tool and gives its output; throws with what it printed. */
function run(command: string, args: string[], input?: string, env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env }, ...(input === undefined ? {} : { input }) })
  if (error !== undefined) throw new Error(`${command} can't be run (${error.message}): install it`, { cause: error })
  if (status !== 0) throw new Error(`${basename(command)} failed with exit code ${status}\n${stderr}${stdout}`)
  return stdout
}

async function main(argv: string[]): Promise<number> {
  try {
    const { values, args } = parseFlags(argv, { out: { type: 'string', usage: '' }, fault: { type: 'string', usage: '' } })
    const outDir = values.get('out')?.[0]
    if (outDir === undefined || args.length > 0) throw new FlagError('usage: node agent/build.ts --out DIR [--fault NAME]')
    const fault = values.get('fault')?.[0]
    console.log(JSON.stringify(await buildAgent({ outDir, ...(fault === undefined ? {} : { fault }) })))
    return 0
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error))
    return error instanceof UnknownFault || error instanceof FlagError ? 2 : 1
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2))
