import { createHash } from 'node:crypto'
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Context } from '../core/context.ts'
import { fetchMainline, type MainlineRequest } from './mainline.ts'
import { openOrigin } from './origin.ts'
import { filesBelow, packKernel, releaseOf, smallBzImage, TestKey, TestMirror, testContext, writeChecksums } from './test-mirror.ts'
import type { Trust } from './trust.ts'
import type { Kernel } from './types.ts'
import { ubuntuMainline } from './ubuntu-archive.ts'

const work = mkdtempSync(join(tmpdir(), 'kb-mirror-'))
const pristine = join(work, 'pristine')
const folder = 'v4.9.337/amd64'
const release = releaseOf('4.9.337')
let key: TestKey
let stranger: TestKey
let image: string

beforeAll(() => {
  key = new TestKey('mirror')
  stranger = new TestKey('stranger')
  image = packKernel(join(pristine, folder), '4.9.337').split('/').at(-1)!
  writeChecksums(join(pristine, folder), key)
}, 60_000)

afterAll(() => {
  key.end()
  stranger.end()
  rmSync(work, { recursive: true, force: true })
})

let root: string
let mirror: TestMirror
let ctx: Context
let notes: string[]
let end: () => void

beforeEach(async () => {
  root = mkdtempSync(join(work, 'root-'))
  cpSync(pristine, root, { recursive: true })
  mirror = await TestMirror.serve(root)
  ;({ ctx, notes, end } = testContext())
})

afterEach(async () => {
  await mirror.end()
  end()
})

const byKey = (): Trust => ({ by: 'key file', file: key.publicFile })
const byNothing: Trust = { by: 'nothing', archive: ubuntuMainline }
const take = (trust: Trust = byKey(), request: Partial<MainlineRequest> = {}, context = ctx): Promise<Kernel> =>
  fetchMainline({ kernel: '4.9', line: '4.9', ...request }, { name: 'KERNELBED_MIRROR', origin: openOrigin(mirror.url, 'KERNELBED_MIRROR'), trust }, context)
const path = (name: string): string => join(root, folder, name)
const cacheFiles = (): string[] => filesBelow(join(ctx.cache, 'kernels'))

describe('a kernel from a signed mirror', () => {
  it('is verified, unpacked and cached', async () => {
    const kernel = await take()
    expect(kernel).toMatchObject({ name: '4.9', release, line: '4.9', source: `KERNELBED_MIRROR ${mirror.url} v4.9.337, signed by ${key.fingerprint}` })
    expect(readFileSync(kernel.image)).toEqual(smallBzImage(release))
    expect(readFileSync(kernel.config!, 'utf8')).toBe('CONFIG_BPF=y\n')
    expect(filesBelow(kernel.modules!)).toEqual(['kernel/net/some.ko'])
    expect(cacheFiles().filter((file) => /\.deb$|\.part$|unpacked/.test(file))).toEqual([])
  })

  it('is not downloaded twice', async () => {
    const first = await take()
    expect(mirror.requests).toHaveLength(2)
    expect(await take()).toEqual(first)
    expect(mirror.requests).toHaveLength(2)
  })

  it('comes from a folder as well', async () => {
    const kernel = await fetchMainline({ kernel: '4.9', line: '4.9' }, { name: 'KERNELBED_MIRROR', origin: openOrigin(root, 'KERNELBED_MIRROR'), trust: byKey() }, ctx)
    expect(kernel.release).toBe(release)
  })

  it('is the newest version that has an amd64 build, unless one is preferred', async () => {
    packKernel(join(root, 'v4.9.99/amd64'), '4.9.99')
    writeChecksums(join(root, 'v4.9.99/amd64'), key)
    mkdirSync(join(root, 'v4.9.400'))
    expect((await take()).release).toBe(release)
    expect((await take(byKey(), { version: '4.9.99' })).release).toBe(releaseOf('4.9.99'))
    expect((await take(byKey(), { version: '4.9.98' })).release).toBe(release)
  })

  it('is found where folders cannot be listed, by the version that is known', async () => {
    mirror.listing = false
    expect((await take(byKey(), { version: '4.9.337' })).release).toBe(release)
    await expect(take()).rejects.toMatchObject({ message: `${mirror.url} has no kernel 4.9`, details: 'its folders can\'t be listed' })
  })

  it('of the layout of 2016, all files in the version\'s folder, is found too', async () => {
    cpSync(join(root, folder), join(root, 'v4.9.337'), { recursive: true })
    rmSync(join(root, folder), { recursive: true })
    expect((await take()).release).toBe(release)
  })

  it('that is not there is said to be, with what is', async () => {
    await expect(take(byKey(), { kernel: '4.14', line: '4.14' })).rejects.toMatchObject({ message: `${mirror.url} has no kernel 4.14`, details: 'it has 4.9.337', blame: 'host' })
  })

  it('is made up for by the cached one while the mirror is out of reach', async () => {
    const kernel = await take()
    const origin = openOrigin(mirror.url, 'KERNELBED_MIRROR')
    await mirror.end()
    expect(await fetchMainline({ kernel: '4.9', line: '4.9' }, { name: 'KERNELBED_MIRROR', origin, trust: byKey() }, ctx)).toEqual(kernel)
    expect(notes.at(-1)).toMatch(/^using the cached 4\.9\.337 of kernel 4\.9: cannot read http:/)
    mirror = await TestMirror.serve(root)
  })
})

describe('what is not what it should be', () => {
  const refused = async (message: RegExp, trust?: Trust, request?: Partial<MainlineRequest>): Promise<void> => {
    await expect(take(trust, request)).rejects.toMatchObject({ name: 'RefusedError', message: expect.stringMatching(message) as unknown, exitCode: 3 })
    expect(cacheFiles()).toEqual([])
  }

  it('a tampered package is refused, and nothing of it is kept', async () => {
    appendFileSync(path(image), 'x')
    await refused(/linux-image-unsigned-.* is not what CHECKSUMS says/)
  })

  it('a tampered CHECKSUMS is refused before any package is asked for', async () => {
    appendFileSync(path('CHECKSUMS'), `# ${'0'.repeat(64)}\n`)
    await refused(new RegExp(`CHECKSUMS is not what \\w*${key.fingerprint.slice(-16)} signed`))
    expect(mirror.requests).toEqual([])
  })

  it('a signature that is none is refused', async () => {
    writeFileSync(path('CHECKSUMS.gpg'), 'no signature')
    await refused(/CHECKSUMS\.gpg is no OpenPGP signature/)
    await refused(/CHECKSUMS\.gpg is no OpenPGP signature/, byNothing, { firstUse: true })
  })

  it('a signature by another key is refused, also on first use', async () => {
    stranger.sign(path('CHECKSUMS'))
    await refused(new RegExp(`is signed by an unknown key, ${stranger.fingerprint}`), byKey(), { firstUse: true })
  })

  it('no signature is refused where a key is known, also on first use', async () => {
    rmSync(path('CHECKSUMS.gpg'))
    await refused(/is not signed \(no CHECKSUMS\.gpg\)/, byKey(), { firstUse: true })
  })

  it('a package for another architecture under an amd64 name is refused', async () => {
    rmSync(join(root, folder), { recursive: true })
    packKernel(join(root, folder), '4.9.337')
    const other = packKernel(join(work, 'arm64'), '4.9.337', { arch: 'arm64' })
    cpSync(other, path(image))
    writeChecksums(join(root, folder), key)
    await refused(/is a package for arm64; the machines are amd64/)
  })

  it('an image for another architecture is refused', async () => {
    const elf = Buffer.alloc(4096)
    elf.writeUInt32BE(0x7f454c46, 0)
    elf.writeUInt16LE(183, 18)
    packKernel(join(root, folder), '4.9.337', { image: elf })
    writeChecksums(join(root, folder), key)
    await refused(/is not a Linux kernel image .*an ELF file for arm64/)
  })

  it('a kernel of another line is refused', async () => {
    packKernel(join(root, folder), '4.9.337', { image: smallBzImage('4.14.1') })
    writeChecksums(join(root, folder), key)
    await refused(/holds a kernel 4\.14\.1, not one of 4\.9/)
  })

  it('a mirror with builds for other machines only has no such kernel', async () => {
    rmSync(join(root, folder), { recursive: true })
    packKernel(join(root, folder), '4.9.337', { arch: 'arm64' })
    writeChecksums(join(root, folder), key)
    await expect(take()).rejects.toMatchObject({ message: `${mirror.url} has no amd64 build of 4.9`, details: 'v4.9.337: builds for arm64 only; the machines are amd64' })
  })
})

describe('a download', () => {
  const downloads = (): string => join(ctx.cache, 'kernels/downloads')
  const part = (): string => join(downloads(), `${createHash('sha256').update(readFileSync(path(image))).digest('hex')}.part`)
  const rangesOf = (name: string): (string | undefined)[] => mirror.requests.filter((request) => request.path === name).map(({ range }) => range)
  const modules = (): string => readdirSync(join(root, folder)).find((name) => name.startsWith('linux-modules'))!

  it('that is cut goes on where it ended, in the same run', async () => {
    mirror.cut = { after: 1000, times: 1, downloads: downloads() }
    expect((await take()).release).toBe(release)
    expect(rangesOf(image)).toEqual([undefined, 'bytes=1000-'])
    expect(notes).toContainEqual(expect.stringMatching(/going on from 0\.0 MB/))
  })

  it('that is cut again and again goes on as long as each attempt brings something', async () => {
    mirror.cut = { after: 30_000, times: 9, downloads: downloads() }
    expect((await take()).release).toBe(release)
    expect(rangesOf(modules()).length).toBeGreaterThan(7)
  })

  it('that brings nothing ends with one message, and the next run goes on with what there is', async () => {
    const whole = readFileSync(path(image))
    mkdirSync(join(part(), '..'), { recursive: true })
    writeFileSync(part(), whole.subarray(0, 2000))
    mirror.cut = { after: 0, times: Infinity }
    await expect(take()).rejects.toMatchObject({ name: 'KernelbedError', message: expect.stringMatching(/^cannot download .*connection cut/) as unknown, hint: expect.stringContaining('goes on from there') as unknown })
    expect(statSync(part()).size).toBe(2000)
    mirror.cut = { after: 0, times: 0 }
    expect((await take()).release).toBe(release)
    expect(rangesOf(image).at(-1)).toBe('bytes=2000-')
    expect(existsSync(part())).toBe(false)
  })

  it('from a server that does no ranges begins anew', async () => {
    mirror.ranges = false
    mirror.cut = { after: 1000, times: 1, downloads: downloads() }
    expect((await take()).release).toBe(release)
    expect(rangesOf(image)).toEqual([undefined, 'bytes=1000-'])
  })

  it('begins anew, once, where what an earlier run left is damaged', async () => {
    mkdirSync(join(part(), '..'), { recursive: true })
    writeFileSync(part(), Buffer.alloc(500, 1))
    expect((await take()).release).toBe(release)
    expect(rangesOf(image)).toEqual(['bytes=500-', undefined])
    expect(notes).toContainEqual(expect.stringContaining('was damaged; downloading it anew'))
  })

  it('that an earlier run left whole is not asked for again', async () => {
    mkdirSync(join(part(), '..'), { recursive: true })
    cpSync(path(image), part())
    expect((await take()).release).toBe(release)
    expect(rangesOf(image)).toEqual([`bytes=${statSync(path(image)).size}-`])
  })

  it('of a package that the mirror lacks is not tried again', async () => {
    rmSync(path(image))
    await expect(take()).rejects.toMatchObject({ message: expect.stringMatching(/^cannot download .*HTTP 404$/) as unknown })
    expect(rangesOf(image)).toEqual([])
  })
})

describe('trust on first use', () => {
  it('is not given unasked', async () => {
    await expect(take(byNothing)).rejects.toMatchObject({ name: 'RefusedError', message: expect.stringContaining(`is signed by an unknown key, ${key.fingerprint}`) as unknown, hint: expect.stringContaining('--trust-on-first-use') as unknown })
    expect(cacheFiles()).toEqual([])
  })

  it('records digest and key, and is enough from then on', async () => {
    const kernel = await take(byNothing, { firstUse: true })
    expect(kernel.source).toMatch(/trusted on first use, signer \w+ not verified$/)
    const [record] = cacheFiles().filter((file) => file.startsWith('trust/'))
    const digest = createHash('sha256').update(readFileSync(path('CHECKSUMS'))).digest('hex')
    expect(JSON.parse(readFileSync(join(ctx.cache, 'kernels', record!), 'utf8'))).toMatchObject({ base: mirror.url, folder, checksums: digest, key: key.fingerprint })
    expect((await take(byNothing)).source).toMatch(/as trusted on \d{4}-\d\d-\d\d$/)
  })

  it('refuses a change later, also when asked to trust', async () => {
    await take(byNothing, { firstUse: true })
    packKernel(join(root, folder), '4.9.337')
    writeChecksums(join(root, folder), key)
    for (const firstUse of [false, true]) await expect(take(byNothing, { firstUse })).rejects.toMatchObject({ name: 'RefusedError', message: expect.stringMatching(/CHECKSUMS is not the one trusted on/) as unknown, hint: expect.stringContaining('/trust/') as unknown })
  })

  it('refuses another signer of a further version, and none', async () => {
    await take(byNothing, { firstUse: true })
    packKernel(join(root, 'v4.9.338/amd64'), '4.9.338')
    writeChecksums(join(root, 'v4.9.338/amd64'), stranger)
    await expect(take(byNothing, { firstUse: true })).rejects.toThrow(`is signed by ${stranger.fingerprint}; when first used, the source was signed by ${key.fingerprint}`)
    rmSync(join(root, 'v4.9.338/amd64/CHECKSUMS.gpg'))
    await expect(take(byNothing, { firstUse: true })).rejects.toThrow('is not signed; when first used, the source was signed by')
  })

  it('takes what is not signed at all, and holds it to its digest', async () => {
    rmSync(path('CHECKSUMS.gpg'))
    await expect(take(byNothing)).rejects.toThrow('is not signed (no CHECKSUMS.gpg)')
    expect((await take(byNothing, { firstUse: true })).source).toMatch(/trusted on first use$/)
    appendFileSync(path('CHECKSUMS'), '#\n')
    await expect(take(byNothing, { firstUse: true })).rejects.toThrow('CHECKSUMS is not the one trusted on')
  })

  it('records nothing of a source whose package is wrong', async () => {
    appendFileSync(path(image), 'x')
    await expect(take(byNothing, { firstUse: true })).rejects.toThrow('is not what CHECKSUMS says')
    expect(cacheFiles()).toEqual([])
  })

  it('is not given anew by a damaged record', async () => {
    await take(byNothing, { firstUse: true })
    const [record] = cacheFiles().filter((file) => file.startsWith('trust/'))
    writeFileSync(join(ctx.cache, 'kernels', record!), '{')
    await expect(take(byNothing, { firstUse: true })).rejects.toThrow('a record of what was trusted on first use, is damaged')
  })
})

describe('an archive with a pinned key', () => {
  /** The key server is the mirror's own: `/key.asc`. */
  const pinned = (fingerprint = key.fingerprint): Trust => ({ by: 'archive', archive: { name: 'the archive', base: mirror.url, fingerprint, keyUrl: `${mirror.url}/key.asc` } })
  const offerKey = (from: TestKey): void => cpSync(from.publicFile, join(root, 'key.asc'))

  it('is verified with the key from the key server, which is kept', async () => {
    offerKey(key)
    expect((await take(pinned())).source).toContain(`signed by ${key.fingerprint}`)
    expect(cacheFiles()).toContain(`keys/${key.fingerprint}.gpg`)
    rmSync(join(root, 'key.asc'))
    expect((await take(pinned())).release).toBe(release)
  })

  it('is refused while the key cannot be had, unless trusted on first use', async () => {
    await expect(take(pinned())).rejects.toMatchObject({ message: expect.stringContaining(`is signed by ${key.fingerprint}, and that key could not be had`) as unknown, details: `${mirror.url}/key.asc has no such key` })
    expect((await take(pinned(), { firstUse: true })).source).toContain('trusted on first use')
  })

  it('does not believe a key server that answers with another key', async () => {
    offerKey(stranger)
    await expect(take(pinned())).rejects.toMatchObject({ name: 'RefusedError', details: `what ${mirror.url}/key.asc answers is not the key ${key.fingerprint}` })
    expect(cacheFiles()).toEqual([])
  })

  it('is refused when another key signs it, also on first use', async () => {
    offerKey(stranger)
    stranger.sign(path('CHECKSUMS'))
    await expect(take(pinned(), { firstUse: true })).rejects.toThrow(`is signed by an unknown key, ${stranger.fingerprint}`)
    rmSync(path('CHECKSUMS.gpg'))
    await expect(take(pinned(), { firstUse: true })).rejects.toThrow('is not signed')
  })

  it('vouches for faithful copies: a mirror without a key of its own', async () => {
    offerKey(key)
    const trust = pinned()
    expect((await take({ by: 'nothing', archive: (trust as { archive: typeof ubuntuMainline }).archive })).source).toContain(`signed by ${key.fingerprint}`)
  })
})
