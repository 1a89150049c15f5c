import { z } from 'zod'
import type { RunResult } from '../types.ts'

const test = z.object({
  suite: z.string(),
  name: z.string(),
  status: z.enum(['passed', 'failed', 'skipped']),
  ms: z.number(),
  startMs: z.number().exactOptional(),
  message: z.string().exactOptional(),
  location: z.string().exactOptional(),
  by: z.enum(['assertion', 'wait', 'error']).exactOptional(),
  notes: z.array(z.string()).exactOptional(),
})

const step = z.object({ name: z.string(), startMs: z.number(), ms: z.number(), ok: z.boolean(), note: z.string().exactOptional() })

/** `result.json` of a run folder. Keys of later versions are dropped. */
export const runResultSchema: z.ZodType<RunResult> = z.object({
  id: z.string(),
  kernel: z.string(),
  release: z.string(),
  agent: z.string(),
  startedAt: z.string(),
  ms: z.number(),
  outcome: z.enum(['passed', 'failed', 'error', 'stopped', 'unavailable']),
  error: z.string().exactOptional(),
  note: z.string().exactOptional(),
  tests: z.array(test),
  notRun: z.array(z.object({ suite: z.string(), reason: z.string() })).exactOptional(),
  timeline: z.array(step),
  command: z.string(),
})
