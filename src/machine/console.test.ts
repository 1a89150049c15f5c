import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConsoleFile, bootPhase, consoleLines, contradictoryClock, sshExpected } from './console.ts'

describe('contradictoryClock', () => {
  it('is what a kernel on a busy host says of its timers', () => {
    // 4.9.154 under TCG, on a host with load 20: its clock ran 26 times too fast.
    expect(contradictoryClock('[    0.000000] tsc: Fast TSC calibration failed\n[    0.000000] tsc: PIT calibration deviates from PMTIMER: 85844 2250019\n[    0.000000] tsc: Using PIT calibration value\n')).toEqual({ taken: 86, other: 2250 })
  })

  it.each(['tsc: Fast TSC calibration using PIT', 'tsc: Unable to calibrate against PIT\n[    0.000000] tsc: using PMTIMER reference calibration'])('is none in "%s"', (line) => expect(contradictoryClock(`[    0.000000] ${line}\n[    0.000000] tsc: Detected 2249.997 MHz processor\n`)).toBeUndefined())
})

describe('bootPhase', () => {
  it.each([
    ['', { at: 'nothing' }],
    ['SeaBIOS (version 1.16)\nBooting from ROM..', { at: 'nothing' }],
    ['[    0.000000] Linux version 4.9.154', { at: 'kernel' }],
    ['[    0.0] x\n[    1.848326] Freeing unused kernel memory: 904K\nkernelbed: init\n[  2.0] eth0\nkernelbed: network\n', { at: 'init', reached: 'network' }],
    ['[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n[ 3.2] CPU: 0', { at: 'panic', message: 'VFS: Unable to mount root fs on unknown-block(0,0)' }],
    ['kernelbed: ready (2.1 s)\n[  9.0] Kernel panic - not syncing: Fatal exception', { at: 'panic', message: 'Fatal exception' }],
  ])('of %j', (text, phase) => {
    expect(bootPhase(text)).toEqual(phase)
  })

  it('takes a quoted option of the command line for no phase', () => {
    expect(bootPhase('[    0.0] Command line: init=/sbin/kernelbed-init kb.name=kernelbed: x')).toEqual({ at: 'kernel' })
  })

  it('expects SSH once init says so', () => {
    expect([sshExpected('kernelbed: network\n'), sshExpected('kernelbed: ssh\nkernelbed: modules')]).toEqual([false, true])
  })
})

describe('ConsoleFile', () => {
  it('reads what is new, and nothing while there is no file', () => {
    const dir = mkdtempSync(join(tmpdir(), 'kb-'))
    const console = new ConsoleFile(join(dir, 'c'))
    expect(console.poll()).toBe(false)
    appendFileSync(join(dir, 'c'), 'one\r\ntw')
    expect(console.poll()).toBe(true)
    appendFileSync(join(dir, 'c'), 'o\r\nthree')
    expect(console.tail(2)).toBe('two\nthree')
    expect(console.poll()).toBe(false)
    rmSync(dir, { recursive: true })
  })

  it('leaves out what firmware draws', () => {
    expect(consoleLines('\x1bc\x1b[?7l\x1b[2JSeaBIOS\n\x1b[0mend\n\n', 5)).toBe('SeaBIOS\nend')
  })
})
