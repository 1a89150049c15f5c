import { KernelbedError } from '../core/errors.ts'

/**
 * What a source hands out is not what it vouches for, or nobody vouches for it: wrong checksum, signature, key or architecture. Nothing of it is kept, and no further
 * source is tried: going on quietly would hide it.
 */
export class RefusedError extends KernelbedError {
  constructor(message: string, details: { readonly hint?: string; readonly details?: string; readonly cause?: unknown } = {}) {
    super(message, { blame: 'host', ...details })
    this.name = 'RefusedError'
  }
}
