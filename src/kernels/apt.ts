import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { CommandError, runCommand, type CommandResult } from '../core/command.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { debianMirrors, repositoryOf, sourceLines, type Mirrors } from './mirrors.ts'
import { explainApt } from './apt-errors.ts'

/** A Debian release with an apt of its own: sources, lists and state in the cache, the host's configuration untouched, its keyring trusted. */
export interface PrivateApt {
  /** Codename, e.g. `bookworm`. */
  readonly suite: string
  /** Runs a program of apt on this root, e.g. `apt-cache show …`. Throws KernelbedError that says what failed (mirror, signature, damaged download). */
  run(program: 'apt-get' | 'apt-cache', args: readonly string[], options?: { cwd?: string; onLine?: (line: string) => void }): Promise<CommandResult>
}

const aptTimeoutMs = 15 * 60_000

/** The user apt's download methods run as: not `_apt`, which can't read a private root below a home folder. */
const sandboxUser = (): string => userInfo().username

function aptArgs(root: string): string[] {
  const options: Record<string, string> = {
    'Dir::Etc::sourcelist': join(root, 'sources.list'),
    'Dir::Etc::sourceparts': join(root, 'none'),
    'Dir::Etc::preferences': join(root, 'none/preferences'),
    'Dir::Etc::preferencesparts': join(root, 'none'),
    'Dir::Etc::trusted': join(root, 'none/trusted.gpg'),
    'Dir::Etc::trustedparts': join(root, 'none'),
    'Dir::State': join(root, 'state'),
    'Dir::State::lists': join(root, 'lists'),
    'Dir::State::status': join(root, 'status'),
    'Dir::Cache': join(root, 'cache'),
    'APT::Sandbox::User': sandboxUser(),
    'APT::Architecture': 'amd64',
    'APT::Architectures': 'amd64',
    'APT::Update::Error-Mode': 'any',
    'APT::Install-Recommends': 'false',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Acquire::AllowInsecureRepositories': 'false',
    'APT::Get::AllowUnauthenticated': 'false',
    'Dpkg::Use-Pty': '0',
  }
  return ['-q', ...Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`])]
}

async function runApt(ctx: Context, root: string, suite: string, program: string, args: readonly string[], options: { cwd?: string; onLine?: (line: string) => void } = {}): Promise<CommandResult> {
  try {
    return await runCommand(program, [...aptArgs(root), ...args], { ...options, env: { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: aptTimeoutMs, signal: ctx.signal })
  } catch (error) {
    throw error instanceof CommandError ? explainApt(error, `Debian ${suite}`) : error
  }
}

const today = (): string => new Date().toISOString().slice(0, 10)

/**
 * Package index of a Debian release, from the mirror(s) that the host's own apt uses, signatures checked with Debian's keyring. Fetched at most once
 * a day, `fresh` fetches again; where that fails (no network) an older one is used, with a note. `sources` adds the source packages.
 */
export async function privateApt(suite: string, ctx: Context, { fresh = false, sources = false } = {}): Promise<PrivateApt> {
  const lines = sourceLines(suite, await debianMirrors(ctx.signal), sources)
  const family = familyOf(suite, lines, sources)
  const key = `${family}-${today()}${fresh ? `-${process.pid}` : ''}`
  const root = await fetchIndex(ctx, suite, key, lines).catch((error: unknown) => {
    const older = indexes(ctx, family).at(-1)
    if (fresh || older === undefined || ctx.signal.aborted) throw error
    ctx.progress.note(`using an older package index of Debian ${suite} (${older}): ${error instanceof Error ? error.message : String(error)}`)
    return join(ctx.cache, 'kernels', older)
  })
  dropOld(ctx, family)
  return { suite, run: (program, args, options) => runApt(ctx, root, suite, program, args, options) }
}

/** Beginning of the names of a release's indexes, which goes on with the day. */
const familyOf = (suite: string, lines: readonly string[], sources: boolean): string => `apt-${suite}${sources ? '-src' : ''}-${sha256(...lines).slice(0, 8)}`

const fetchIndex = (ctx: Context, suite: string, key: string, lines: readonly string[]): Promise<string> =>
  cached(ctx, 'kernels', key, (dir) =>
    inStep(ctx.progress, `package index of Debian ${suite}`, async (step) => {
      for (const folder of ['none', 'state', 'lists/partial', 'cache/archives/partial']) mkdirSync(join(dir, folder), { recursive: true })
      writeFileSync(join(dir, 'status'), '')
      writeFileSync(join(dir, 'sources.list'), `${lines.join('\n')}\n`)
      await runApt(ctx, dir, suite, 'apt-get', ['update'], { onLine: (line) => step.update(line) })
    }))

/** Complete index folders of a family, oldest first (the day is part of the name). */
function indexes(ctx: Context, family: string): string[] {
  const folder = join(ctx.cache, 'kernels')
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(`${family}-`) && existsSync(join(folder, name, '.complete'))).sort() : []
}

/** The newest index of a release that is in the cache, however old; undefined where there is none. Asks no mirror. */
export function knownApt(suite: string, mirrors: Mirrors, ctx: Context): PrivateApt | undefined {
  const newest = indexes(ctx, familyOf(suite, sourceLines(suite, mirrors), false)).at(-1)
  return newest === undefined ? undefined : { suite, run: (program, args, options) => runApt(ctx, join(ctx.cache, 'kernels', newest), suite, program, args, options) }
}

/** Asks the mirror for a release's InRelease file, with apt's own transport (proxies, schemes). Throws KernelbedError when it doesn't answer with one in some seconds. */
export async function assertSuiteThere(suite: string, mirrors: Mirrors, ctx: Context): Promise<void> {
  const url = `${repositoryOf(suite, mirrors)}/dists/${suite}/InRelease`
  const dir = mkdtempSync(join(ctx.sockets, 'suite-'))
  const options = ['Acquire::Retries=0', 'Acquire::http::Timeout=5', 'Acquire::https::Timeout=5', `APT::Sandbox::User=${sandboxUser()}`].flatMap((option) => ['-o', option])
  try {
    await runCommand('/usr/lib/apt/apt-helper', [...options, 'download-file', url, join(dir, 'InRelease')], { env: { LC_ALL: 'C' }, timeoutMs: 12_000, signal: ctx.signal })
  } catch (error) {
    throw error instanceof CommandError ? explainApt(error, `Debian ${suite}`) : error
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Keeps the last three: another run may be reading yesterday's at midnight. */
function dropOld(ctx: Context, family: string): void {
  for (const name of indexes(ctx, family).slice(0, -3)) rmSync(join(ctx.cache, 'kernels', name), { recursive: true, force: true })
}

export interface DebPackage { readonly name: string; readonly version: string; readonly depends: readonly string[] }

/** The newest version of a package in the release. Throws KernelbedError when there is none. */
export async function showPackage(apt: PrivateApt, name: string): Promise<DebPackage> {
  const { stdout } = await apt.run('apt-cache', ['--no-all-versions', 'show', name])
  const shown = parsePackage(stdout)
  if (!shown) throw new KernelbedError(`Debian ${apt.suite} has no package ${name}`, { blame: 'host', hint: 'see whether the mirror in /etc/apt carries this release; `apt-get update` on the host shows its own errors' })
  return shown
}

/** First stanza of `apt-cache show`; alternatives and version limits of Depends are dropped. */
export function parsePackage(stanza: string): DebPackage | undefined {
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1]
  const [name, version] = [field('Package'), field('Version')]
  if (name === undefined || version === undefined) return undefined
  const depends = (field('Depends') ?? '').split(',').map((item) => item.trim().split(/[\s|:(]/)[0] ?? '').filter(Boolean)
  return { name, version, depends }
}

/** Downloads packages (hashes checked against the signed index) and unpacks them into `dir`; nothing is installed. */
export async function unpackPackages(apt: PrivateApt, packages: readonly { readonly name: string; readonly version?: string }[], dir: string, ctx: Context, onLine?: (line: string) => void): Promise<void> {
  const debs = join(dir, '.debs')
  mkdirSync(debs, { recursive: true })
  await apt.run('apt-get', ['download', ...packages.map(({ name, version }) => (version === undefined ? name : `${name}=${version}`))], { cwd: debs, ...(onLine ? { onLine } : {}) })
  for (const deb of readdirSync(debs)) {
    onLine?.(`unpacking ${deb}`)
    await runCommand('dpkg-deb', ['-x', join(debs, deb), dir], { signal: ctx.signal })
  }
  rmSync(debs, { recursive: true, force: true })
}
