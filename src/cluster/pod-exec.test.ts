import { describe, expect, it } from 'vitest'
import { endingOf } from './pod-exec.ts'

describe('how a command in a pod ended', () => {
  it('is 0 for success', () => expect(endingOf({ status: 'Success' })).toEqual({ exitCode: 0, reason: 'exit code 0' }))

  it('is the program\'s exit code', () => {
    const status = { status: 'Failure', reason: 'NonZeroExitCode', message: 'command terminated with non-zero exit code', details: { causes: [{ reason: 'ExitCode', message: '7' }] } }
    expect(endingOf(status)).toEqual({ exitCode: 7, reason: 'exit code 7' })
  })

  it('is 126 and the runtime\'s own words for a program that is not there', () => {
    const message = 'error executing command in container: failed to exec in container: failed to start exec "f00": OCI runtime exec failed: exec failed: unable to start container process: exec: "nonesuch": executable file not found in $PATH: unknown'
    expect(endingOf({ status: 'Failure', message })).toEqual({ exitCode: 126, reason: 'exec: "nonesuch": executable file not found in $PATH: unknown' })
  })
})
