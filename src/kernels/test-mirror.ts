import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Context } from '../core/context.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { waitFor } from '../core/wait.ts'

/** For unit tests: a throwaway signing key, packages in Ubuntu's layout, and a server that misbehaves on demand. */

/** The least that passes for a bzImage of a release. */
export function smallBzImage(release: string): Buffer {
  const image = Buffer.alloc(4096)
  image.writeUInt8(4, 0x1f1)
  image.write('HdrS', 0x202, 'latin1')
  image.writeUInt16LE(0x20f, 0x206)
  image.writeUInt16LE(0x300, 0x20e)
  image.writeUInt16LE(1, 0x236)
  image.write(`${release} (x@y) #1`, 0x500, 'latin1')
  return image
}

/** A key made for the test, in a GnuPG home of its own. */
export class TestKey {
  readonly home = mkdtempSync(join(tmpdir(), 'kb-gpg-'))
  readonly fingerprint: string
  readonly publicFile = join(this.home, 'public.asc')

  constructor(name: string) {
    this.#gpg('--passphrase', '', '--quick-generate-key', `${name} <${name}@example.invalid>`, 'ed25519', 'sign', 'never')
    this.fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(this.#gpg('--with-colons', '--list-keys'))?.[1] ?? ''
    writeFileSync(this.publicFile, this.#gpg('--armor', '--export'))
  }

  sign(file: string): void {
    this.#gpg('--yes', '--output', `${file}.gpg`, '--detach-sign', file)
  }

  end(): void {
    execFileSync('gpgconf', ['--homedir', this.home, '--kill', 'all'], { stdio: 'ignore' })
    rmSync(this.home, { recursive: true, force: true })
  }

  #gpg(...args: string[]): string {
    return execFileSync('gpg', ['--homedir', this.home, '--batch', '--quiet', '--pinentry-mode', 'loopback', ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }
}

export interface DebContent { readonly package: string; readonly version: string; readonly arch?: string; /** File in the package → its content. */ readonly files: Readonly<Record<string, Buffer | string>> }

/** Packs `dir/<package>_<version>_<arch>.deb` and answers its path. */
export function packDeb(dir: string, { package: name, version, arch = 'amd64', files }: DebContent, fileName = `${name}_${version}_${arch}.deb`): string {
  const tree = mkdtempSync(join(tmpdir(), 'kb-deb-'))
  for (const [path, content] of Object.entries({ ...files, 'DEBIAN/control': `Package: ${name}\nVersion: ${version}\nArchitecture: ${arch}\nMaintainer: t <t@example.invalid>\nDescription: t\n` })) {
    mkdirSync(join(tree, path, '..'), { recursive: true })
    writeFileSync(join(tree, path), content)
  }
  mkdirSync(dir, { recursive: true })
  execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '-b', tree, join(dir, fileName)], { stdio: 'ignore' })
  rmSync(tree, { recursive: true })
  return join(dir, fileName)
}

/** The two packages of a version, as the archive has them since 4.14.39. */
export function packKernel(dir: string, version: string, { arch = 'amd64', image = smallBzImage(releaseOf(version)), config = 'CONFIG_BPF=y\n' }: { arch?: string; image?: Buffer; config?: string } = {}): string {
  const release = releaseOf(version)
  const build = `${release.replace(/-generic$/, '')}.202401101234`
  packDeb(dir, { package: `linux-modules-${release}`, version: build, arch, files: { [`boot/config-${release}`]: config, [`lib/modules/${release}/kernel/net/some.ko`]: randomBytes(300_000) } })
  return packDeb(dir, { package: `linux-image-unsigned-${release}`, version: build, arch, files: { [`boot/vmlinuz-${release}`]: image } })
}

/** 4.9.337-0409337-generic */
export function releaseOf(version: string): string {
  const [major = '0', minor = '0', patch = '0'] = version.split('.')
  return `${version}-${major.padStart(2, '0')}${minor.padStart(2, '0')}${patch.padStart(2, '0')}-generic`
}

/** Writes CHECKSUMS of a folder as the archive does, SHA-1 first. */
export function writeChecksums(dir: string, key?: TestKey): string {
  const debs = readdirSync(dir).filter((name) => name.endsWith('.deb'))
  const sums = (algorithm: string): string => debs.map((name) => `${createHash(algorithm).update(readFileSync(join(dir, name))).digest('hex')}  ${name}\n`).join('')
  const file = join(dir, 'CHECKSUMS')
  writeFileSync(file, `# Checksums, check with the command below:\n#     shasum -c CHECKSUMS\n#\n# Checksums-Sha1:\n${sums('sha1')}#\n# Checksums-Sha256:\n${sums('sha256')}`)
  key?.sign(file)
  return file
}

/** Serves a folder on loopback, with the folders' pages as a web server makes them. */
export class TestMirror {
  /** Requests for packages, with the range asked for. */
  readonly requests: { readonly path: string; readonly range: string | undefined }[] = []
  /** Cut the connection after this many bytes of a package, this many times; with `downloads`, when they have arrived in that folder's files. */
  cut: { after: number; times: number; downloads?: string } = { after: 0, times: 0 }
  ranges = true
  listing = true
  readonly #server: Server
  readonly #root: string

  private constructor(root: string) {
    this.#root = root
    this.#server = createServer((request, response) => this.#answer(request, response))
  }

  static async serve(root: string): Promise<TestMirror> {
    const mirror = new TestMirror(root)
    await new Promise<void>((resolve) => mirror.#server.listen(0, '127.0.0.1', resolve))
    return mirror
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  async end(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = join(this.#root, decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname))
    if (!existsSync(path)) return void response.writeHead(404).end('not here')
    if (statSync(path).isDirectory()) return this.#sendFolder(path, response)
    if (!path.endsWith('.deb')) return void response.end(readFileSync(path))
    this.#sendPackage(path, request.headers.range, response)
  }

  #sendFolder(path: string, response: ServerResponse): void {
    if (this.listing) response.end(readdirSync(path).map((name) => `<a href="${name}/">${name}/</a>`).join('\n'))
    else response.writeHead(403).end()
  }

  #sendPackage(path: string, range: string | undefined, response: ServerResponse): void {
    this.requests.push({ path: basename(path), range })
    const content = readFileSync(path)
    const start = this.ranges ? Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0) : 0
    if (start >= content.length) return void response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
    const rest = content.subarray(start)
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': rest.length, ...(start > 0 ? { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` } : {}) })
    if (this.cut.times === 0 || this.cut.after >= rest.length) return void response.end(rest)
    this.cut.times--
    const { after, downloads } = this.cut
    const arrived = (): boolean => downloads === undefined || filesBelow(downloads).reduce((sum, file) => sum + statSync(join(downloads, file)).size, 0) >= Math.min(start + after, content.length)
    response.write(rest.subarray(0, after), () => void waitFor({ name: 'the bytes to arrive', timeoutMs: 10_000, intervalMs: 5 }, () => (arrived() ? { done: true } : { seen: 'not yet' })).finally(() => response.destroy()))
  }
}

/** A run of its own, with an empty cache; `notes` is what it told. */
export function testContext(): { readonly ctx: Context; readonly notes: string[]; readonly end: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'kb-kernels-'))
  const notes: string[] = []
  const ctx: Context = { registry: new Registry(), progress: new LineProgress((line) => notes.push(line)), dir, sockets: dir, cache: join(dir, 'cache'), signal: new AbortController().signal }
  return { ctx, notes, end: () => rmSync(dir, { recursive: true, force: true }) }
}

/** Every file below a folder, relative. */
export const filesBelow = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1)).sort() : [])

