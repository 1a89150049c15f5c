import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { ensureGuestProgram } from '../image/index.ts'

/** The probe program, compiled from guest/. Answers its path; throws CommandError. */
export const ensureProbe = (ctx: Context): Promise<string> => ensureGuestProgram('probe', 'feature probe', join(import.meta.dirname, 'guest'), ctx)
