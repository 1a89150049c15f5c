import { describe, expect, it } from 'vitest'
import { KernelbedError } from '../core/errors.ts'
import { byHand } from './box.ts'

describe('what `vagrant up` is asked by the environment', () => {
  it('is two machines on 6.1 when it says nothing', () => {
    expect(byHand({})).toEqual({ kernels: ['6.1'], nodes: 2, memoryMiB: 1536, cpus: undefined })
  })

  it('is as many machines as kernels are named, and more if so said', () => {
    expect(byHand({ KERNELBED_KERNEL: '6.1, 5.10,6.12' })).toMatchObject({ kernels: ['6.1', '5.10', '6.12'], nodes: 3 })
    expect(byHand({ KERNELBED_KERNEL: '6.1,5.10', KERNELBED_NODES: '4', KERNELBED_MEMORY: '1024', KERNELBED_CPUS: '2' })).toEqual({ kernels: ['6.1', '5.10'], nodes: 4, memoryMiB: 1024, cpus: 2 })
  })

  it.each([
    [{ KERNELBED_NODES: '0' }, 'KERNELBED_NODES=0: takes a whole number from 1 to 9'],
    [{ KERNELBED_NODES: 'two' }, 'KERNELBED_NODES=two: takes a whole number from 1 to 9'],
    [{ KERNELBED_MEMORY: '100' }, 'KERNELBED_MEMORY=100: takes a whole number from 512 to 65536'],
    [{ KERNELBED_KERNEL: '6.l' }, '6.l'],
  ])('is refused before anything is made: %j', (env, message) => {
    const error = (() => {
      try {
        return byHand(env)
      } catch (cause) {
        return cause
      }
    })()
    expect(error).toBeInstanceOf(KernelbedError)
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringContaining(message) as string })
  })
})
