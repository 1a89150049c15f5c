import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { availabilityOf, type Availability } from './availability.ts'
import type { CatalogueKernel } from './catalogue.ts'
import { resolveFromSources } from './resolve.ts'
import { packKernel, TestKey, testContext, writeChecksums } from './test-mirror.ts'

let made: ReturnType<typeof testContext>
let key: TestKey
const folder = (): string => join(made.ctx.dir, 'mirror/v4.9.154/amd64')

beforeEach(() => {
  made = testContext()
  key = new TestKey('availability')
  packKernel(folder(), '4.9.154')
  writeChecksums(folder(), key)
  vi.stubEnv('KERNELBED_MIRROR', join(made.ctx.dir, 'mirror'))
  vi.stubEnv('KERNELBED_MIRROR_KEY', key.publicFile)
})

afterEach(() => {
  vi.unstubAllEnvs()
  key.end()
  made.end()
})

const line = (name: string): CatalogueKernel => ({ name, sources: [{ from: 'mirror' }], config: [], agent: 'works' })
const look = async (name = '4.9'): Promise<Availability | undefined> => (await availabilityOf([line(name)], made.ctx)).get(name)

it('a kernel of a mirror is available when its signature is right, and cached when it was fetched', async () => {
  expect(await look()).toEqual({ state: 'available', what: 'v4.9.154', from: `KERNELBED_MIRROR ${made.ctx.dir}/mirror, signed by ${key.fingerprint}` })
  await resolveFromSources(line('4.9'), {}, made.ctx)
  expect(await look()).toMatchObject({ state: 'cached', what: 'v4.9.154' })
})

it('one that would be refused is not, and why is told', async () => {
  appendFileSync(join(folder(), 'CHECKSUMS'), '#\n')
  expect(await look()).toMatchObject({ state: 'no', why: [expect.stringMatching(/^KERNELBED_MIRROR: .*CHECKSUMS is not what .* signed/)] })
})

it('nor is one that is not there; the reason is the same for every line', async () => {
  expect(await look('4.4')).toEqual({ state: 'no', why: [`KERNELBED_MIRROR: ${made.ctx.dir}/mirror has no such kernel (it has 4.9.154)`] })
  expect(await look('4.14')).toEqual(await look('4.4'))
})

it('nor is any from a mirror that is not set', async () => {
  vi.stubEnv('KERNELBED_MIRROR', '')
  vi.stubEnv('KERNELBED_MIRROR_KEY', '')
  expect(await look()).toEqual({ state: 'no', why: ['KERNELBED_MIRROR: not set'] })
})
