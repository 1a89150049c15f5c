import { existsSync, readFileSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import { z } from 'zod'
import { usageError } from '../core/errors.ts'
import { findEvidence, type EvidenceFile, type LogTail } from './load/evidence.ts'
import { loadFeatures, type Feature } from './load/features.ts'
import { loadFlows, MAX_ROWS, type FlowLog } from './load/flows.ts'
import { runResultSchema } from './load/result-schema.ts'
import type { RunResult } from './types.ts'

export type { EvidenceFile, LogTail } from './load/evidence.ts'
export type { Feature, FeatureState } from './load/features.ts'
export type { FlowLog, FlowRow } from './load/flows.ts'

/** What the HTML report shows of one run: its result and the evidence that its folder holds. Evidence is optional; a result is not. */
export interface ReportCell {
  readonly result: RunResult
  /** Path of the run folder as seen from the report, with `/`: `runs/20260101-1200`; `.` when the report lies in it. */
  readonly base: string
  /** Ends of consoles, logs and `commands.log`. */
  readonly logs: readonly LogTail[]
  /** Normalised monitor events; absent when the run wrote none. */
  readonly flows?: FlowLog
  readonly features?: readonly Feature[]
  /** Files to link to: pcaps, JUnit, dumps. */
  readonly files: readonly EvidenceFile[]
  /** Evidence that is there but could not be read, and why. */
  readonly unreadable: readonly string[]
}

/**
 * Reads a run folder. `reportDir` is where the report will be written (links are relative to it); default: the run folder itself.
 * Throws a usage error when the folder has no readable `result.json`; evidence that can't be read is named in the cell instead.
 */
export function loadCell(runDir: string, reportDir: string = runDir, maxFlows: (result: RunResult) => number = () => MAX_ROWS): ReportCell {
  const dir = resolve(runDir)
  const unreadable: string[] = []
  const attempt = <T>(name: string, body: () => T | undefined): T | undefined => {
    try {
      return body()
    } catch (error) {
      unreadable.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }
  const result = loadResult(dir)
  const flows = attempt('monitor', () => loadFlows(join(dir, 'monitor'), maxFlows(result)))
  const features = attempt('features.json', () => loadFeatures(join(dir, 'features.json')))
  const { logs, files } = findEvidence(dir, (path, why) => unreadable.push(`${path}: ${why}`))
  return { result, base: relative(resolve(reportDir), dir).split(sep).join('/') || '.', logs, files, unreadable, ...(flows ? { flows } : {}), ...(features ? { features } : {}) }
}

/** Of a run that passed, beside others, that many flows are in the page: it stays one that can be mailed. */
const MAX_ROWS_PASSED = 1000

/** Reads the folders of the runs of one report, which will be written to `reportDir`. Throws as loadCell does. */
export const loadCells = (dirs: readonly string[], reportDir: string): ReportCell[] =>
  dirs.map((dir) => loadCell(dir, reportDir, ({ outcome }) => (dirs.length > 1 && outcome === 'passed' ? MAX_ROWS_PASSED : MAX_ROWS)))

/** `result.json` of a run folder. Throws a usage error when it is not there or is none. */
export function loadResult(dir: string): RunResult {
  const file = join(dir, 'result.json')
  if (!existsSync(file)) throw usageError(`${dir} has no result.json`, 'give the folder of a finished run: .kernelbed/runs/<id>')
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw usageError(`${file} cannot be read: ${(error as Error).message}`, 'its run was cut off or the copy is incomplete; leave the folder out')
  }
  const parsed = runResultSchema.safeParse(json)
  if (!parsed.success) throw usageError(`${file} is not the result of a run:\n${z.prettifyError(parsed.error)}`, 'it may have been written by another version; repeat the run')
  return parsed.data
}
