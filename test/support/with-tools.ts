import { describe, it } from 'vitest'
import { missingTools, type Tool } from './tools.ts'

type DescribeSuite = (name: string, suite: () => void) => void

/**
 * `describe` for suites that need real programs. Where one is missing the suite is skipped and its name says why; in
 * CI it fails instead.
 */
export function withTools(...tools: Tool[]): DescribeSuite {
  const missing = missingTools(tools)
  if (missing.length === 0) return (name, suite) => describe(name, suite)
  const reason = `not installed: ${missing.join(', ')}`
  if (process.env.CI !== 'true') return (name, suite) => describe.skip(`${name} (${reason})`, suite)
  return (name) =>
    describe(name, () => {
      it('finds its tools', () => {
        throw new Error(reason)
      })
    })
}
