import { expect, test } from 'vitest'
import { explain, KernelbedError, usageError } from './errors.ts'

test('an error is explained with its blame, evidence and next step, never a stack trace', () => {
  const cause = new KernelbedError('QEMU ended', { blame: 'hypervisor', details: 'line 1\nline 2' })
  const text = explain(new KernelbedError('node1 did not boot', { blame: 'hypervisor', hint: 'look at console.log', cause }))
  expect(text).toBe('error (hypervisor): node1 did not boot\n  error (hypervisor): QEMU ended\n    | line 1\n    | line 2\n  → look at console.log')
})

test('exit codes: usage 2, test 1, all else 3', () => {
  expect(usageError('x').exitCode).toBe(2)
  expect(new KernelbedError('x', { blame: 'test' }).exitCode).toBe(1)
  expect(new KernelbedError('x', { blame: 'guest kernel' }).exitCode).toBe(3)
})

test('a full disk is said, with what to delete; a defect of ours keeps its stack', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  expect(explain(full)).toMatch(/^error \(host\): ENOSPC: no space left on device, write\n  → free some space/)
  expect(explain(new Error('oops'))).toMatch(/oops\n\s+at /)
})
