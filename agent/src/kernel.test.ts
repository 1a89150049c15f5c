import { expect, it } from 'vitest'
import { formatLog } from './log.ts'
import { checkKernel } from './kernel.ts'

it('refuses a 4.4 kernel in the words of Cilium', () => {
  let message = ''
  try { checkKernel('4.4.220-generic') } catch (error) { message = formatLog('fatal', (error as Error).message, 'daemon') }
  expect(message).toBe('level=fatal msg="kernel version: NOT OK: minimal supported kernel version is >= 4.8.0; kernel version that is running is: 4.4.220" subsys=daemon')
})

it.each(['4.8.0', '4.9.154', '6.1.0-44-cloud-amd64', '7.2.13+deb14-cloud-amd64'])('accepts %s', (release) => {
  expect(() => checkKernel(release)).not.toThrow()
})
