import { tellGithub } from '../report/github.ts'
import { runCell } from './cell.ts'
import { kubernetesEngine } from './engine/kubernetes.ts'
import { localEngine } from './engine/local.ts'
import { runMatrix } from './matrix.ts'
import { parseE2e } from './options.ts'
import { prepareOnly } from './prepare-only.ts'

/**
 * `npm run e2e -- …`. One kernel runs in this process, several each in their own. Answers the exit code: 0 passed, 1 tests failed, 3 anything else failed,
 * 130 stopped (of several kernels the worst: stopped, error, failed); throws usage errors.
 */
export async function e2e(argv: readonly string[]): Promise<number> {
  const options = await parseE2e(argv)
  if (!options) return 0
  if (options.prepareOnly) return prepareOnly(options)
  if (options.kubernetesEngine) return runMatrix(options, await kubernetesEngine(options, options.kubernetesEngine))
  const [only] = options.cells
  if (options.cells.length > 1 || only?.unavailable !== undefined) return runMatrix(options, localEngine)
  const { result, code } = await runCell(only!, options)
  tellGithub([result])
  return code
}
