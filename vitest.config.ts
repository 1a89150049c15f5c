import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files by name: a run is read, and compared with another, in the same order. */
class ByName extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return Promise.resolve([...files].sort((a, b) => a.moduleId.localeCompare(b.moduleId)))
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: ByName },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'agent/**/*.test.ts', 'kernels/**/*.test.ts', 'fixtures/**/*.test.ts', 'scripts/**/*.test.ts'],
          exclude: ['**/*.integration.test.ts', '**/node_modules/**'],
          testTimeout: 30_000,
          // Many tests start the command line in a process of its own: compiled once, not each time.
          env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/node-compile') },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['suites/**/*.test.ts'],
          // One process without isolation: what fixtures attach to (streams, connections, pods) is opened once for all suites.
          pool: 'forks',
          isolate: false,
          fileParallelism: false,
          // The framework's own deadlines are shorter: they name what they waited for. The first test's time holds the set-up of the shared fixtures too
          // (service account 20 s, pods 90 s, servers 20 s, monitors 30 s).
          testTimeout: 240_000,
          hookTimeout: 180_000,

          retry: 0,
        },
      },
    ],
  },
})
