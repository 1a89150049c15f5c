import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { catalogue, catalogueNames } from './catalogue.ts'
import { resolveKernel } from './resolve.ts'
import { checkKernelSpec, type KernelOptions } from './spec.ts'
import { filesBelow, packDeb, packKernel, releaseOf, smallBzImage, testContext, writeChecksums } from './test-mirror.ts'
import type { Kernel } from './types.ts'

const dir = mkdtempSync(join(tmpdir(), 'kernelbed-spec-'))
afterAll(() => rmSync(dir, { recursive: true }))

const bytes = smallBzImage

function image(name: string, release: string): string {
  writeFileSync(join(dir, name), bytes(release))
  return join(dir, name)
}

describe('a --kernel value', () => {
  it('is a line of the catalogue', () => {
    expect(checkKernelSpec('6.1')).toMatchObject({ kind: 'catalogue', kernel: { name: '6.1' } })
  })

  it('that is unknown gets the nearest known name and the whole list', () => {
    expect(() => checkKernelSpec('6.11')).toThrow(expect.objectContaining({ message: 'unknown kernel "6.11" (did you mean "6.1"?)', blame: 'usage', hint: expect.stringContaining('4.9, 4.14') as unknown }))
    expect(() => checkKernelSpec('newst')).toThrow('did you mean "newest"?')
  })

  it('is a path, named by its release or its own file name', () => {
    expect(checkKernelSpec(image('bzImage', '4.9.154'))).toMatchObject({ kind: 'file', name: '4.9.154', release: '4.9.154' })
    expect(checkKernelSpec(image('patched', '4.9.154'))).toMatchObject({ name: 'patched' })
  })

  it('may give a path a name, also one of the catalogue', () => {
    expect(checkKernelSpec(`mine=${image('bzImage', '4.9.154')}`)).toMatchObject({ kind: 'file', name: 'mine' })
    expect(checkKernelSpec(`4.9=${image('bzImage', '4.9.154')}`)).toMatchObject({ kind: 'file', name: '4.9' })
  })

  it('that names a missing file is wrong use', () => {
    expect(() => checkKernelSpec('./no/bzImage')).toThrow(expect.objectContaining({ message: 'kernel image ./no/bzImage does not exist', exitCode: 2 }))
    expect(() => checkKernelSpec('mine=./no.deb')).toThrow('package ./no.deb does not exist')
    expect(() => checkKernelSpec('/dev/null')).toThrow('is not a file')
  })

  it('that is a folder without a kernel in it is wrong use', () => {
    expect(() => checkKernelSpec(`mine=${dir}`)).toThrow('is a folder, but not one in which a kernel was built')
    writeFileSync(join(dir, '.config'), '')
    expect(() => checkKernelSpec(dir)).toThrow(expect.objectContaining({ message: expect.stringContaining('no kernel was built in') as unknown, exitCode: 2 }))
    rmSync(join(dir, '.config'))
  })
})

describe('--modules', () => {
  const modules = join(dir, 'lib/modules/5.4.1/kernel')
  mkdirSync(modules, { recursive: true })

  it('is found at the release, or in a folder above it', () => {
    const path = image('bzImage', '5.4.1')
    for (const given of [join(modules, '..'), join(dir, 'lib/modules'), dir]) expect(checkKernelSpec(path, { modules: given })).toMatchObject({ modules: join(dir, 'lib/modules/5.4.1') })
  })

  it('of another release is wrong use', () => {
    const path = image('bzImage', '5.5.0')
    expect(() => checkKernelSpec(path, { modules: join(dir, 'lib/modules') })).toThrow('no modules of 5.5.0 there')
    expect(() => checkKernelSpec(path, { modules: join(dir, 'lib/modules/5.4.1') })).toThrow('modules of 5.4.1, but the kernel is 5.5.0')
    expect(() => checkKernelSpec(path, { modules: '/no/such' })).toThrow('no such folder')
  })

  it('does not go with a catalogue name', () => {
    expect(() => checkKernelSpec('6.1', { modules: dir })).toThrow('--modules goes with a kernel image of your own')
  })
})

const release = '4.9.154'

/** Resolves with a cache of its own; answers what was told as well. */
async function resolve(spec: string, options: KernelOptions = {}): Promise<{ kernel: Kernel; notes: string[] }> {
  const { ctx, notes } = context()
  return { kernel: await resolveKernel(spec, options, ctx), notes }
}

const contexts: { end: () => void }[] = []
function context(): ReturnType<typeof testContext> {
  const made = testContext()
  contexts.push(made)
  return made
}
afterEach(() => contexts.splice(0).forEach(({ end }) => end()))

describe('a package by path', () => {
  it('brings its modules from the package beside it', async () => {
    const deb = packKernel(join(dir, 'debs'), '4.14.336')
    const { kernel } = await resolve(`mine=${deb}`)
    expect(kernel).toMatchObject({ name: 'mine', release: releaseOf('4.14.336'), line: '4.14' })
    expect(filesBelow(kernel.modules!)).toEqual(['kernel/net/some.ko'])
  })

  it('brings them from the package that is given', async () => {
    const deb = packKernel(join(dir, 'apart'), '4.14.336')
    const modules = join(dir, 'modules.deb')
    execFileSync('mv', [join(dir, 'apart', filesBelow(join(dir, 'apart')).find((name) => name.startsWith('linux-modules'))!), modules])
    expect((await resolve(deb, { modules })).kernel.name).toBe(releaseOf('4.14.336'))
    expect((await resolve(`${deb}:${modules}`)).kernel.modules).toBeDefined()
    await expect(resolve(deb)).rejects.toThrow('has no modules, and linux-modules-4.14.336-0414336-generic_…_amd64.deb is not beside it')
    await expect(resolve(deb, { modules: dir })).rejects.toThrow('the modules of a .deb come as a .deb')
    await expect(resolve(modules)).rejects.toThrow('the package holds no kernel image')
  })

  it('may be of a kernel without modules, or with them inside', async () => {
    const alone = packDeb(join(dir, 'own'), { package: 'linux-image-4.9.154', version: '1', files: { 'boot/vmlinuz-4.9.154': bytes(release), 'lib/modules/4.9.154/modules.builtin': '' } })
    expect((await resolve(alone)).kernel.modules).toBeUndefined()
    const whole = packDeb(join(dir, 'own'), { package: 'linux-image-4.9.155', version: '1', files: { 'boot/vmlinuz-4.9.155': bytes('4.9.155'), 'lib/modules/4.9.155/kernel/a.ko': '' } })
    expect((await resolve(whole)).kernel.modules).toBeDefined()
  })

  it('of another architecture, or damaged, is told in one message', async () => {
    const arm = packDeb(dir, { package: 'linux-image-4.9.154', version: '1', arch: 'arm64', files: { 'boot/vmlinuz-4.9.154': bytes(release) } })
    await expect(resolve(arm)).rejects.toMatchObject({ message: 'linux-image-4.9.154_1_arm64.deb is a package for arm64; the machines are amd64', exitCode: 3 })
    writeFileSync(join(dir, 'rubbish.deb'), 'rubbish')
    await expect(resolve(join(dir, 'rubbish.deb'))).rejects.toMatchObject({ hint: 'rubbish.deb is no whole Debian package', exitCode: 3 })
  })
})

describe('a vmlinux by path', () => {
  /** An ELF64 file for x86-64 with one note segment, and a kernel's banner. */
  function vmlinux(name: string, { note = 18, banner = `Linux version ${release} (x@y) (gcc) #1` }: { note?: number; banner?: string } = {}): string {
    const file = Buffer.alloc(4096)
    file.writeUInt32BE(0x7f454c46, 0)
    file.writeUInt8(2, 4)
    file.writeUInt16LE(62, 18)
    file.writeBigUInt64LE(64n, 32)
    file.writeUInt16LE(56, 54)
    file.writeUInt16LE(1, 56)
    file.writeUInt32LE(4, 64)
    file.writeBigUInt64LE(256n, 64 + 8)
    file.writeBigUInt64LE(44n, 64 + 32)
    // A note of another kind first: 5 bytes of name and 6 of content, each padded.
    file.writeUInt32LE(5, 256)
    file.writeUInt32LE(6, 260)
    file.writeUInt32LE(4, 284)
    file.writeUInt32LE(0, 288)
    file.writeUInt32LE(note, 292)
    file.write('Xen\0', 296, 'latin1')
    file.write(banner, 2000, 'latin1')
    writeFileSync(join(dir, name), file)
    return join(dir, name)
  }

  it('with a PVH entry is taken as it is', async () => {
    const path = vmlinux('vmlinux')
    expect((await resolve(path)).kernel).toMatchObject({ name: release, release, line: '4.9', image: path })
  })

  it('without one says that the bzImage is needed', () => {
    expect(() => checkKernelSpec(vmlinux('vmlinux', { note: 1 }))).toThrow(expect.objectContaining({ message: expect.stringContaining('(4.9.154) has no PVH entry') as unknown, hint: expect.stringContaining('arch/x86/boot/bzImage') as unknown }))
  })

  it('that is no kernel is told', () => {
    expect(() => checkKernelSpec(vmlinux('program', { banner: 'Linux version %s (%s)' }))).toThrow('is an ELF file for x86-64, but no Linux kernel')
  })
})

describe('a kernel build by path', () => {
  function tree(name: string, { modules = true, named = release, installs = release } = {}): string {
    const root = join(dir, name)
    const write = (path: string, content: string | Buffer): void => {
      mkdirSync(join(root, path, '..'), { recursive: true })
      writeFileSync(join(root, path), content)
    }
    write('arch/x86/boot/bzImage', bytes(release))
    write('include/config/kernel.release', `${named}\n`)
    write('.config', `# Linux/x86 ${release} Kernel Configuration\nCONFIG_BPF=y\nCONFIG_VXLAN=m\n# CONFIG_GENEVE is not set\n`)
    write('modules.order', modules ? 'kernel/net/some.ko\n' : 'kernel/net/never-built.ko\n')
    if (modules) write('net/some.ko', 'module')
    write('Makefile', `modules_install:\n\tmkdir -p $(INSTALL_MOD_PATH)/lib/modules/${installs}/kernel/net\n\tcp net/some.ko $(INSTALL_MOD_PATH)/lib/modules/${installs}/kernel/net/\n`)
    return root
  }

  it('brings its config and the modules that its own make installs', async () => {
    const { kernel, notes } = await resolve(tree('tree'))
    expect(kernel).toMatchObject({ name: release, release })
    expect(filesBelow(kernel.modules!)).toEqual(['kernel/net/some.ko'])
    expect(kernel.missing).toContain('CONFIG_GENEVE')
    expect(kernel.missing).not.toContain('CONFIG_VXLAN')
    expect(notes.at(-1)).toMatch(/^kernel 4\.9\.154 \(4\.9\.154\) was built without .*CONFIG_GENEVE/)
  })

  it('that was built again is another kernel', async () => {
    const root = tree('again')
    const { ctx } = context()
    const first = await resolveKernel(root, {}, ctx)
    expect((await resolveKernel(root, {}, ctx)).modules).toBe(first.modules)
    utimesSync(join(root, 'net/some.ko'), 1, 1)
    expect((await resolveKernel(root, {}, ctx)).modules).not.toBe(first.modules)
  })

  it('may have no modules', async () => {
    expect((await resolve(tree('bare', { modules: false }))).kernel.modules).toBeUndefined()
  })

  it('that is not finished says to finish it', async () => {
    expect(() => checkKernelSpec(tree('stale', { named: '4.9.155' }))).toThrow('is of 4.9.154, but the tree is at 4.9.155')
    await expect(resolve(tree('odd', { installs: '4.9.1' }))).rejects.toThrow('installed modules of 4.9.1, but the bzImage is of 4.9.154')
  })
})

describe('a config beside an image', () => {
  it('is taken when it is of its version', async () => {
    const path = image('bzImage', '5.6.7-mine')
    writeFileSync(join(dir, 'config-5.6.7-mine'), '# Linux/x86 5.6.7 Kernel Configuration\n')
    expect((await resolve(path)).kernel.config).toBe(join(dir, 'config-5.6.7-mine'))
    writeFileSync(join(dir, 'config-5.6.7-mine'), '# Linux/x86 5.6.8 Kernel Configuration\n')
    expect((await resolve(path)).kernel.config).toBeUndefined()
  })
})

describe('the catalogue', () => {
  afterEach(() => vi.unstubAllEnvs())

  it('is every file of kernels/, oldest first; each line says what is expected of the agent', () => {
    expect(catalogueNames).toEqual(['4.4', '4.9', '4.14', '4.19', '5.4', '5.10', '5.15', '6.1', '6.6', '6.12', 'newest'])
    expect(catalogue.filter((kernel) => kernel.agent === 'refuses').map((kernel) => kernel.name)).toEqual(['4.4'])
  })

  it('has a source for every line, and requires the datapath\'s options', () => {
    for (const { sources, config } of catalogue) {
      expect(sources.length).toBeGreaterThan(0)
      expect(config).toContain('CONFIG_NET_CLS_BPF')
    }
  })

  it('takes a line from the mirror that is set', async () => {
    const root = join(dir, 'mirror')
    mkdirSync(join(root, 'v4.9.154/amd64'), { recursive: true })
    vi.stubEnv('KERNELBED_MIRROR', root)
    packKernel(join(root, 'v4.9.154/amd64'), '4.9.154')
    writeChecksums(join(root, 'v4.9.154/amd64'))
    const { ctx, notes } = context()
    await expect(resolveKernel('4.9', {}, ctx)).rejects.toThrow('is not signed (no CHECKSUMS.gpg)')
    expect((await resolveKernel('4.9', { trustOnFirstUse: true }, ctx)).source).toMatch(/^KERNELBED_MIRROR .*trusted on first use$/)
    expect(notes.at(-1)).toMatch(/was built without CONFIG_BPF_SYSCALL/)
  })

  it('checks the mirror\'s address and key before anything starts', () => {
    vi.stubEnv('KERNELBED_MIRROR', '/no/such/folder')
    expect(() => checkKernelSpec('4.9')).toThrow(expect.objectContaining({ message: 'KERNELBED_MIRROR: no folder /no/such/folder', exitCode: 2 }))
    vi.stubEnv('KERNELBED_MIRROR', 'ftp://mirror.invalid')
    expect(() => checkKernelSpec('4.9')).toThrow('ftp:// is not understood')
    vi.stubEnv('KERNELBED_MIRROR', dir)
    vi.stubEnv('KERNELBED_MIRROR_KEY', '/no/such/key')
    expect(() => checkKernelSpec('4.9')).toThrow('KERNELBED_MIRROR_KEY: no file /no/such/key')
    vi.stubEnv('KERNELBED_MIRROR', '')
    expect(() => checkKernelSpec('4.9')).toThrow('KERNELBED_MIRROR_KEY is set, but KERNELBED_MIRROR is not')
  })
})
