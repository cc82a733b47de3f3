import { writeSync } from 'node:fs'
import type { Reporter, SerializedError, TestModule, TestSuite } from 'vitest/node'

/**
 * Names what was skipped and ends the output with one line, `N passed, N failed, N skipped`. In CI a skipped test
 * fails the run.
 */
export class Tally implements Reporter {
  /** What stands at the end where the run does not come to one. */
  #lines = ['0 passed, 1 failed, 0 skipped']

  onInit(): void {
    // At the exit, so that nothing is printed after it.
    process.once('exit', () => writeSync(process.stdout.fd, `\n${this.#lines.join('\n')}\n`))
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const count = (state: string) => tests.filter((test) => test.result().state === state).length
    const broken = modules.filter((module) => module.errors().length > 0).length + unhandledErrors.length
    const skipped = count('skipped')
    this.#lines = modules.flatMap(skippedWithin).map((name) => `skipped: ${name}`)
    if (skipped > 0 && process.env.CI === 'true') {
      process.exitCode = 1
      this.#lines.push('In CI nothing may be skipped.')
    }
    this.#lines.push(`${count('passed')} passed, ${count('failed') + broken} failed, ${skipped} skipped`)
  }
}

/** The outermost skipped suites, and skipped tests that stand outside of them. */
function skippedWithin(parent: TestModule | TestSuite): string[] {
  return [...parent.children].flatMap((child) => {
    if (child.options.mode === 'skip' || child.options.mode === 'todo') return [child.fullName]
    if (child.type === 'suite') return skippedWithin(child)
    const { state, note } = { note: undefined, ...child.result() }
    return state === 'skipped' ? [`${child.fullName} (${note ?? 'at its own wish'})`] : []
  })
}
