import { defineConfig } from 'vitest/config'

/** Runs datapath.integration.test.ts, which the unit project leaves out: it needs root. */
export default defineConfig({ test: { include: ['**/*.integration.test.ts'], root: import.meta.dirname, hookTimeout: 60_000, fileParallelism: false } })
