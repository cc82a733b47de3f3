import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { FaultReporter } from './test/support/fault-reporter.ts'
import { Tally } from './test/support/reporter.ts'

// biome-ignore lint/style/noDefaultExport: vitest reads its configuration from the default export
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/setup.ts',
    reporters: ['default', new Tally(), new FaultReporter()],
    pool: 'forks',
    maxWorkers: Math.max(2, availableParallelism()),
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
