import { existsSync } from 'node:fs'
import { runCommand } from '../core/command.ts'
import { KernelbedError } from '../core/errors.ts'

/** Where this host's apt takes Debian from; URIs without a trailing slash. */
export interface Mirrors {
  readonly main: string
  /** Repository of security updates, where the host has one. */
  readonly security?: string
}

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** The Debian mirrors of the host's own apt configuration (`apt-get indextargets`; where it was never updated, what an update would fetch). Throws KernelbedError on a host without. */
export async function debianMirrors(signal?: AbortSignal): Promise<Mirrors> {
  const format = '$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(RELEASE)'
  const { stdout } = await runCommand('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], { ...(signal ? { signal } : {}), hint: 'kernelbed needs a Debian host (or container) with apt' })
  const mirrors = parseMirrors(stdout) ?? parseMirrors(releasesOf((await runCommand('apt-get', ['update', '--print-uris'], signal ? { signal } : {})).stdout))
  if (!mirrors) throw new KernelbedError('no Debian mirror in this host\'s apt sources', { blame: 'host', hint: 'add one to /etc/apt/sources.list.d, run `apt-get update`, and try again' })
  if (!existsSync(keyring)) throw new KernelbedError(`${keyring} is missing, so nothing of Debian can be verified`, { blame: 'host', hint: 'as root: apt-get install debian-archive-keyring' })
  return mirrors
}

/** From lines of `ORIGIN|LABEL|REPO_URI|RELEASE`. Before the first `apt-get update` apt doesn't know origins: then the path of the URI tells. */
export function parseMirrors(output: string): Mirrors | undefined {
  const targets = output.split('\n').flatMap((line) => {
    const [origin = '', label = '', uri = '', release = ''] = line.split('|')
    const known = origin !== '' && !origin.startsWith('$')
    const debian = known ? origin === 'Debian' : /\/debian(-security)?(\/|$)/.test(uri)
    return debian ? [{ uri: uri.replace(/\/+$/, ''), security: label === 'Debian-Security' || /-security(\/|$)/.test(release) }] : []
  })
  const main = targets.find((target) => !target.security)?.uri
  const security = targets.find((target) => target.security)?.uri
  return main === undefined ? undefined : { main, ...(security === undefined ? {} : { security }) }
}

/** Lines for parseMirrors of those of `apt-get update --print-uris`: `'http://…/debian/dists/bookworm/InRelease' name 0`. */
export const releasesOf = (output: string): string => [...output.matchAll(/^'(\S+)\/dists\/([^/\s]+)\/InRelease'/gm)].map(([, uri, release]) => `||${uri}|${release}`).join('\n')

/**
 * Lines of sources.list for any suite of the mirrors. A release's own security updates are included; suites beside it (`bookworm-backports`), and those without a release, have
 * none. `bookworm-security` is the security repository's.
 */
export function sourceLines(suite: string, mirrors: Mirrors, sources = false): string[] {
  const repos = [`${repositoryOf(suite, mirrors)} ${suite} main`]
  if (!suite.includes('-') && !['sid', 'unstable', 'experimental'].includes(suite) && mirrors.security !== undefined) repos.push(`${mirrors.security} ${suite}-security main`)
  return repos.map((repo) => `${sources ? 'deb-src' : 'deb'} [arch=amd64 signed-by=${keyring}] ${repo}`)
}

/** Which of the mirrors carries a suite. */
export const repositoryOf = (suite: string, mirrors: Mirrors): string => (suite.endsWith('-security') ? (mirrors.security ?? mirrors.main) : mirrors.main)
