import { execa } from 'execa'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { Availability, CatalogueKernel } from '../kernels/index.ts'
import { packKernel, TestKey, writeChecksums } from '../kernels/test-mirror.ts'
import { kernelTable } from './kernels.ts'
import { projectDir } from './places.ts'

const work = mkdtempSync(join(tmpdir(), 'kb-kernels-cli-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

async function run(args: readonly string[], env: Record<string, string> = {}): Promise<{ code: number | undefined; text: string; out: string }> {
  const done = await execa(process.execPath, [join(projectDir, 'scripts/kernels.ts'), ...args], { cwd: work, reject: false, all: true, env: { XDG_CACHE_HOME: join(work, 'cache'), KERNELBED_MIRROR: '', KERNELBED_MIRROR_KEY: '', ...env } })
  return { code: done.exitCode, text: done.all, out: done.stdout }
}

test.each<[string, string[], RegExp, Record<string, string>?]>([
  ['an unknown line', ['fetch', '5.11'], /unknown kernel "5\.11" \(did you mean "5\.1\d?"\?\)/],
  ['an unknown command', ['fecth', '5.10'], /unknown command "fecth" \(did you mean "fetch"\?\)/],
  ['a line without a command', ['5.10'], /unknown command "5\.10"[\s\S]*fetch 5\.10/],
  ['fetch of nothing', ['fetch'], /fetch what\?[\s\S]*newest, all/],
  ['an unknown flag', ['--trust-on-first-user'], /unknown option.*did you mean "--trust-on-first-use"/],
  ['a mirror that is not there', ['fetch', '4.9'], /KERNELBED_MIRROR: no folder/, { KERNELBED_MIRROR: '/no/such/folder' }],
])('%s: exit code 2, what is wrong', async (_what, args, message, env = {}) => {
  const { code, text } = await run(args, env)
  expect(text).toMatch(message)
  expect(text).not.toMatch(/^\s+at /m)
  expect(code).toBe(2)
  expect(existsSync(join(work, 'cache'))).toBe(false)
})

test('a kernel is fetched from a signed mirror, and no run is left behind', async () => {
  const folder = join(work, 'mirror/v4.9.154/amd64')
  mkdirSync(folder, { recursive: true })
  packKernel(folder, '4.9.154')
  const key = new TestKey('cli')
  try {
    writeChecksums(folder, key)
    const env = { KERNELBED_MIRROR: join(work, 'mirror') }
    const refused = await run(['fetch', '4.9'], env)
    expect(refused.text).toContain('--trust-on-first-use')
    expect(refused.code).toBe(3)
    const fetched = await run(['fetch', '4.9'], { ...env, KERNELBED_MIRROR_KEY: key.publicFile })
    expect(fetched.out).toMatch(new RegExp(`^✓ 4\\.9: 4\\.9\\.154-0409154-generic \\(KERNELBED_MIRROR .*signed by ${key.fingerprint}\\)`))
    expect(fetched.code).toBe(0)
    expect(readdirSync(join(work, '.kernelbed/runs'))).toEqual([])
  } finally {
    key.end()
  }
})

test('the table tells each line\'s state, and why some are not to be had once for all', () => {
  const line = (name: string, rest: Partial<CatalogueKernel> = {}): CatalogueKernel => ({ name, sources: [], config: [], agent: 'works', ...rest })
  const why = ['KERNELBED_MIRROR: not set', 'Ubuntu mainline archive: cannot read it']
  const found = new Map<string, Availability>([['4.4', { state: 'no', why }], ['4.9', { state: 'no', why }], ['5.10', { state: 'cached', what: '5.10.0-46', from: 'Debian bullseye' }], ['6.1', { state: 'available', what: '6.1.192-2', from: `a mirror, signed by ${'0123456789ABCDEF'.repeat(3).slice(0, 40)}` }]])
  const table = kernelTable([line('4.4', { agent: 'refuses' }), line('4.9', { without: ['map:lru_hash'] }), line('5.10'), line('6.1')], found)
  expect(table).toBe(`kernel  state      version    agent                    from
4.4     no                    refuses
4.9     no                    works without 1 (below)
5.10    cached     5.10.0-46  works                    Debian bullseye
6.1     available  6.1.192-2  works                    a mirror, signed by 89ABCDEF01234567

not to be had here: 4.4, 4.9
  KERNELBED_MIRROR: not set
  Ubuntu mainline archive: cannot read it
  → pass one by path (--kernel 4.4=FILE: a bzImage, vmlinux, .deb or build), or set KERNELBED_MIRROR to a folder or URL that has it

what the agent works without:
  4.9: map:lru_hash, hash table that forgets the least recently used: since 4.10
`)
})
