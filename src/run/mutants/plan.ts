import type { SeededFault } from '../../agent/index.ts'
import { checkKernelSpec, describeSpec } from '../../kernels/index.ts'
import { expectationOf, planSuites } from '../expectation.ts'
import type { PlannedCell } from '../matrix-plan.ts'

/** A fault, and where it is run. */
export interface Mutant {
  readonly fault: SeededFault
  readonly cell: PlannedCell
  /** Empty: all. */
  readonly suites: readonly string[]
  /** Why it is not run at all. */
  readonly notRun?: string
}

/** Each fault on the first kernel on which suites of its own run: those for kernels that the agent must refuse run on no other. `suitesOf`: what is to run for a fault, none for all. */
export function planMutants(faults: readonly SeededFault[], kernels: readonly PlannedCell[], suitesOf: (fault: SeededFault) => readonly string[], known: readonly string[]): Mutant[] {
  return faults.map((fault) => {
    const suites = suitesOf(fault)
    const kernel = kernels.find((cell) => {
      const { run } = planSuites(suites, known, expectationOf(describeSpec(checkKernelSpec(cell.kernel))), cell.name)
      return run.some((suite) => fault.caughtBy.includes(suite) || suites.includes(suite))
    })
    const cell = { name: fault.name, kernel: (kernel ?? kernels[0]!).kernel, kernelName: (kernel ?? kernels[0]!).name }
    return { fault, cell, suites, ...(kernel ? {} : { notRun: `${fault.caughtBy.join(', ')} ${fault.caughtBy.length === 1 ? 'runs' : 'run'} on no kernel asked for (${kernels.map(({ name }) => name).join(', ')})` }) }
  })
}
