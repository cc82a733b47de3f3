import { writeSync } from 'node:fs'
import type { Reporter, SerializedError, TestModule } from 'vitest/node'

/**
 * Names what was skipped and ends the output with one line, `N passed, N failed, N skipped`. In CI a skipped test
 * fails the run.
 */
export class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const count = (state: string) => tests.filter((test) => test.result().state === state).length
    const broken = modules.filter((module) => module.errors().length > 0).length + unhandledErrors.length
    const skipped = count('skipped')
    const lines = skippedSuites(modules).map((name) => `skipped: ${name}`)
    if (skipped > 0 && process.env.CI === 'true') {
      process.exitCode = 1
      lines.push('In CI nothing may be skipped.')
    }
    lines.push(`${count('passed')} passed, ${count('failed') + broken} failed, ${skipped} skipped`)
    // At the exit, so that nothing is printed after it.
    process.once('exit', () => writeSync(process.stdout.fd, `\n${lines.join('\n')}\n`))
  }
}

/** The outermost skipped suites, and skipped tests that stand outside of them. */
function skippedSuites(modules: readonly TestModule[]): string[] {
  const names: string[] = []
  const visit = (parent: TestModule | import('vitest/node').TestSuite) => {
    for (const child of parent.children) {
      if (child.options.mode === 'skip' || child.options.mode === 'todo') names.push(child.fullName)
      else if (child.type === 'suite') visit(child)
    }
  }
  modules.forEach(visit)
  return names
}
