import type { FailedBy, TestResult } from './types.ts'

/** The strongest: soft assertions may have failed beside what ended the test. Errors come from another process, as plain objects with their own properties. */
export function failedBy(errors: readonly object[]): FailedBy {
  const kinds = errors.map((error): FailedBy => {
    const { name, blame } = error as { name?: unknown; blame?: unknown }
    // Matchers of ours are Vitest's JestExtendError, which has no name of its own but this property.
    if (name === 'AssertionError' || '__vitest_error_context__' in error) return 'assertion'
    return name === 'WaitTimeoutError' && blame === 'agent' ? 'wait' : 'error'
  })
  return (['assertion', 'wait'] as const).find((kind) => kinds.includes(kind)) ?? 'error'
}

/** Whether a test failed by what the agent did, and not by a crash, a timeout of Vitest or a machine that died. */
export const isVerdict = ({ by }: Pick<TestResult, 'by'>): boolean => by === 'assertion' || by === 'wait'
