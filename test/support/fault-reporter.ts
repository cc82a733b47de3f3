import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { Reporter, TestCase, TestModule, TestSpecification, Vitest } from 'vitest/node'
import { sections } from '../faults/rows.ts'
import { FaultTable, type Ran } from './fault-table.ts'
import { root } from './paths.ts'

const path = join(root, 'test', 'faults', 'README.md')

/**
 * Writes the table of faults and their tests where `CISTERN_FAULTS_TABLE=write` asks for it. In CI it fails a run in
 * which a gate has no passing test, or whose table is not the one in the repository. Runs of some tests say nothing
 * about the others, and are let be.
 */
export class FaultReporter implements Reporter {
  #isWhole = false
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  async onTestRunStart(specifications: readonly TestSpecification[]): Promise<void> {
    const all = await this.#vitest?.globTestSpecifications()
    this.#isWhole = specifications.length === all?.length && !this.#vitest?.config.testNamePattern
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const writing = process.env.CISTERN_FAULTS_TABLE === 'write'
    if (!this.#isWhole || !(writing || process.env.CI === 'true')) return
    const ran = modules.flatMap((module) => [...module.children.allTests()].map(ranOf))
    const table = new FaultTable(sections, ran)
    const faults = table.gaps
    if (writing) writeFileSync(path, table.text)
    else if (readFileSync(path, 'utf8') !== table.text) {
      faults.push('test/faults/README.md is not what this run makes: npm run test:faults-table')
    }
    if (faults.length === 0) return
    if (!writing) process.exitCode = 1
    process.stdout.write(`\nFaults without a passing test:\n${faults.map((fault) => `  ${fault}\n`).join('')}`)
  }
}

function ranOf(test: TestCase): Ran {
  const names = [test.name]
  for (let { parent } = test; parent.type === 'suite'; parent = parent.parent) names.unshift(parent.name)
  const file = relative(join(root, 'test'), test.module.moduleId).replace(/\.test\.ts$/, '')
  return { file, names, state: test.result().state }
}
