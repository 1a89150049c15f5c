import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { explain, KernelbedError } from '../core/errors.ts'
import { bisect, verdictOf } from './bisect.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-bisect-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}

describe('what a run says of a kernel', () => {
  it('is good when all passed, bad when tests failed', () => {
    expect(verdictOf({ outcome: 'passed', tests: [] }).verdict).toBe('good')
    expect(verdictOf({ outcome: 'failed', tests: [{ suite: 'policy', name: 'denies', status: 'failed', ms: 1 }] })).toEqual({ verdict: 'bad', why: '1 failed: policy: denies' })
  })

  it.each([['guest kernel', 'bad'], ['agent', 'bad'], ['host', 'unknown'], ['cluster', 'unknown'], ['hypervisor', 'unknown']] as const)('that could not be finished for the %s\'s sake is %s', (blame, verdict) => {
    const error = explain(new KernelbedError('it stopped', { blame, details: 'more' }))
    expect(verdictOf({ outcome: 'error', tests: [], error })).toMatchObject({ verdict, why: expect.stringContaining('it stopped') as string })
  })
})

describe('bad use of bisect is told before anything starts', () => {
  it.each<[string, () => string[], RegExp]>([
    ['no good kernel', () => ['--bad', '6.1'], /which kernel is good\?/],
    ['no bad kernel', () => ['--good', '6.1'], /which kernel is bad\?/],
    ['a kernel that is none', () => ['--good', '6.1', '--bad', './none'], /none/],
    ['--kernel', () => ['--good', '6.1', '--bad', '6.12', '--kernel', '5.10'], /takes no --kernel/],
    ['the same twice', () => ['--good', '6.1', '--bad', '6.12', '6.1'], /given twice: 6\.1/],
    ['a list that is not there', () => ['--images', join(dir, 'none')], /does not exist/],
    ['a list of one', () => ['--images', file('one', '6.1\n# and no more\n')], /names 1 image: two at least/],
    ['a list, and an image', () => ['--images', file('two', '6.1\n6.12\n'), '5.10'], /so does 5\.10/],
    ['machines that stay', () => ['--good', '6.1', '--bad', '6.12', '--keep'], /takes no --keep/],
  ])('%s', async (_what, args, message) => {
    await expect(bisect(args())).rejects.toThrow(message)
  })
})
