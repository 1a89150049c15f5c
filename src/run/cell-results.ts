import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { htmlReport } from '../report/html.ts'
import { junitXml } from '../report/junit.ts'
import { loadCell } from '../report/load.ts'
import type { RunResult } from '../report/types.ts'

/** Writes what a run leaves in its folder: `result.json`, `junit.xml`, `report.html`. */
export function writeCell(dir: string, result: RunResult): void {
  writeFileSync(join(dir, 'result.json'), JSON.stringify(result, undefined, 2))
  writeFileSync(join(dir, 'junit.xml'), junitXml([result]))
  writeFileSync(join(dir, 'report.html'), htmlReport([loadCell(dir)]))
}

/** Exit code of one run. */
export const codeOf = (result: Pick<RunResult, 'outcome'>): 0 | 1 | 3 | 130 => ({ passed: 0, unavailable: 0, failed: 1, error: 3, stopped: 130 } as const)[result.outcome]

/** Exit code of several runs: stopped over error over failed; 3 when not one kernel could be had. */
export function worstCode(results: readonly Pick<RunResult, 'outcome'>[]): 0 | 1 | 3 | 130 {
  const codes = new Set(results.map(codeOf))
  if (codes.has(130)) return 130
  if (codes.has(3) || results.every((result) => result.outcome === 'unavailable')) return 3
  return codes.has(1) ? 1 : 0
}
