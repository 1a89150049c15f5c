import { describe, expect, it } from 'vitest'
import { accelFromEnvironment, judge } from './accel.ts'

const silent = (): string => ''

describe('judge', () => {
  it('has no verdict while a silent kernel has time left', () => {
    expect(judge('', true, 3900, silent)).toBeUndefined()
  })

  it('finds KVM wanting when nothing is printed in time, as stock kernels under a broken nested KVM', () => {
    expect(judge('SeaBIOS\n', true, 4100, silent)).toEqual({ works: false, saw: 'no console output in 4 s', lasting: true })
  })

  it('finds KVM good when the kernel ran to its missing root file system, though QEMU ended by then', () => {
    expect(judge('[    0.9] Kernel panic - not syncing: VFS: Unable to mount root fs', false, 900, silent)).toMatchObject({ works: true, lasting: true })
  })

  it('finds KVM wanting when the boot begins and hangs', () => {
    expect(judge('[ 0.1] Linux\n[ 0.2] APIC: enabled', true, 10_000, silent)).toBeUndefined()
    expect(judge('[ 0.1] Linux\n[ 0.2] APIC: enabled', true, 20_000, silent)).toEqual({ works: false, saw: 'the boot hung after: [ 0.2] APIC: enabled', lasting: true })
  })

  it('does not remember a QEMU that ended, and gives its message', () => {
    const stderr = (): string => 'qemu: warning: host does not support x\nqemu: error: failed to set MSR 0x10a\nAssertion failed'
    expect(judge('', false, 100, stderr)).toEqual({ works: false, saw: 'QEMU ended: qemu: error: failed to set MSR 0x10a', lasting: false })
  })
})

describe('KERNELBED_ACCEL', () => {
  it.each([[undefined, undefined], ['', undefined], ['tcg', 'tcg'], ['kvm', 'kvm']])('%j is %j', (value, accel) => {
    expect(accelFromEnvironment(value)).toBe(accel)
  })

  it('is refused with the nearest known one', () => {
    expect(() => accelFromEnvironment('tgc')).toThrow('KERNELBED_ACCEL=tgc: unknown accelerator (did you mean "tcg"?)')
  })
})
