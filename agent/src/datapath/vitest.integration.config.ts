import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** Runs the agent's integration tests, which the unit project leaves out: they need root. */
export default defineConfig({ test: { include: ['**/*.integration.test.ts'], root: join(import.meta.dirname, '..'), hookTimeout: 60_000, fileParallelism: false } })
