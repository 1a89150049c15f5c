/** Replaced by agent/build.ts; the first part is the Cilium release whose formats are printed. */
declare const LASH_VERSION: string | undefined
export const version = typeof LASH_VERSION === 'string' ? LASH_VERSION : '1.2.5-lash dev'
