import { expect, test } from 'vitest'
import { explain, KernelbedError } from '../core/errors.ts'
import type { StartedMachine } from '../machine/index.ts'
import { blameHungMachine } from './hung.ts'

const machine = (name: string, exec: () => Promise<unknown>): StartedMachine => ({ name, exec, consoleTail: () => 'NOHZ: local_softirq_pending 82' }) as unknown as StartedMachine
const alive = machine('node1', () => Promise.resolve({}))
const hung = machine('node2', () => Promise.reject(new Error('no SSH banner within 10 s')))
const gaveUp = new KernelbedError('gave up waiting for lash', { blame: 'agent' })

test('an agent that is not ready because its machine hangs is the guest kernel\'s fault, and what the stage saw is kept', async () => {
  const text = explain(await blameHungMachine([alive, hung], gaveUp))
  expect(text).toMatch(/^error \(guest kernel\): node2 stopped answering/)
  expect(text).toContain('NOHZ: local_softirq_pending 82')
  expect(text).toContain('gave up waiting for lash')
})

test('when every machine answers, the stage\'s own error stands', async () => {
  expect(await blameHungMachine([alive], gaveUp)).toBe(gaveUp)
})
