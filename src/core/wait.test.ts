import { expect, test } from 'vitest'
import { KernelbedError } from './errors.ts'
import { AbortedError, waitFor } from './wait.ts'

test('a wait that gives up says what it waited for and each distinct thing it saw', async () => {
  let n = 0
  const wait = waitFor({ name: 'node1 to be Ready', timeoutMs: 60, intervalMs: 5, blame: 'cluster' }, () => ({ seen: n++ < 3 ? 'no node' : 'NotReady' }))
  await expect(wait).rejects.toThrow('gave up waiting for node1 to be Ready after 0.1 s')
  const error = await wait.catch((e: unknown) => e as KernelbedError)
  expect((error as KernelbedError).details).toMatch(/no node[\s\S]*NotReady/)
  expect((error as KernelbedError).blame).toBe('cluster')
})

test('an unexpected error of the probe is something seen; a KernelbedError ends the wait', async () => {
  let n = 0
  await expect(waitFor({ name: 'x', timeoutMs: 1000, intervalMs: 1 }, () => {
    if (n++ === 0) throw new Error('ECONNREFUSED')
    return { done: 42 }
  })).resolves.toBe(42)
  await expect(waitFor({ name: 'x', timeoutMs: 1000 }, () => {
    throw new KernelbedError('QEMU ended', { blame: 'hypervisor' })
  })).rejects.toThrow('QEMU ended')
})

test('an aborted wait ends at once', async () => {
  const abort = new AbortController()
  const wait = waitFor({ name: 'x', timeoutMs: 60_000, intervalMs: 60_000, signal: abort.signal }, () => ({ seen: '' }))
  abort.abort()
  await expect(wait).rejects.toBeInstanceOf(AbortedError)
})

test('a probe that failed is seen with its cause', async () => {
  const wait = waitFor({ name: 'x', timeoutMs: 1 }, () => Promise.reject(new Error('fetch failed', { cause: new Error('connect ECONNREFUSED 127.0.0.1:1') })))
  const error = await wait.catch((e: unknown) => e as KernelbedError)
  expect((error as KernelbedError).details).toContain('fetch failed: connect ECONNREFUSED 127.0.0.1:1')
})
