import { expect, it } from 'vitest'
import { WaitTimeoutError } from '../core/wait.ts'
import { failedBy } from './failed-by.ts'

const thrown = async (run: () => unknown): Promise<object> => {
  try {
    await run()
  } catch (error) {
    return error as object
  }
  throw new Error('nothing was thrown')
}
/** As errors come from the suites' process. */
const plain = (error: object): object => Object.fromEntries(['name', ...Object.getOwnPropertyNames(error)].map((key) => [key, (error as Record<string, unknown>)[key]]))

it('tells assertions, of Vitest and of our matchers, from waits and from what broke', async () => {
  expect.extend({ toBeFine: () => ({ pass: false, message: () => 'expected it to be fine' }) })
  const assertion = plain(await thrown(() => expect(1).toBe(2)))
  const matcher = plain(await thrown(() => (expect(1) as unknown as { toBeFine(): void }).toBeFine()))
  const wait = (blame: 'agent' | 'cluster'): object => plain(new WaitTimeoutError({ name: 'it', timeoutMs: 1, blame }, [], ''))
  const broke = plain(await thrown(() => { throw new TypeError('x is not a function') }))
  expect([[assertion], [matcher], [wait('agent')], [wait('cluster')], [broke], [broke, matcher], [broke, wait('agent')]].map(failedBy)).toEqual(['assertion', 'assertion', 'wait', 'error', 'error', 'assertion', 'wait'])
})
