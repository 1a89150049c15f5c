/** The switch's control protocol: one JSON request a line, one JSON answer a line, over a Unix socket. */
import { z } from 'zod'

const port = z.string().min(1).max(64)
const captureId = z.int().positive()

export const Request = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('ping') }),
  z.strictObject({ op: z.literal('attach'), port, socket: z.string().min(1).max(107), timeoutMs: z.int().min(0).max(600_000).default(10_000) }),
  z.strictObject({ op: z.literal('detach'), port }),
  z.strictObject({ op: z.literal('capture'), file: z.string().startsWith('/') }),
  z.strictObject({ op: z.literal('flush'), capture: captureId }),
  z.strictObject({ op: z.literal('captureStop'), capture: captureId }),
  z.strictObject({ op: z.literal('cut'), a: port, b: port.optional() }),
  z.strictObject({ op: z.literal('restore') }),
  z.strictObject({ op: z.literal('impair'), loss: z.number().min(0).max(1).default(0), delayMs: z.number().min(0).max(60_000).default(0) }),
  z.strictObject({ op: z.literal('stats') }),
])
export type Request = z.infer<typeof Request>
export type RequestInput = z.input<typeof Request>

const stats = z.object({
  port: z.string(),
  connected: z.boolean(),
  rxFrames: z.number(),
  txFrames: z.number(),
  /** All of the following together. */
  dropped: z.number(),
  lost: z.number(),
  cut: z.number(),
  overrun: z.number(),
  malformed: z.number(),
})

/** Every answer has `ok`; a request that cannot be done has `error`. */
export const Answer = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true),
    pid: z.number().optional(),
    capture: captureId.optional(),
    frames: z.number().optional(),
    /** Source address (`52:54:00:77:00:01`) → port it was seen on. */
    sources: z.record(z.string(), z.string()).optional(),
    stats: z.array(stats).optional(),
  }),
  z.object({ ok: z.literal(false), error: z.string() }),
])
export type Answer = z.infer<typeof Answer>
export type PortStats = z.infer<typeof stats>

/** Parses a request line; a string says what is wrong with it. */
export function parseRequest(line: string): Request | string {
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch {
    return `not JSON: ${line.slice(0, 80)}`
  }
  const parsed = Request.safeParse(json)
  return parsed.success ? parsed.data : z.prettifyError(parsed.error)
}
