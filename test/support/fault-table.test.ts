import { describe, expect, it } from 'vitest'
import { sections } from '../faults/rows.ts'
import { FaultTable, type Ran } from './fault-table.ts'

const some = { A: { title: 'Some', rows: { A1: '★ one', A2: 'two', A3: '★ three' } } }
const ran = (name: string, state = 'passed', ...suites: string[]): Ran => ({
  file: 'x/y',
  names: [...suites, name],
  state,
})

describe('the table of faults', () => {
  it('has each row once, in order, as the numbers of the specification go', () => {
    const ids = Object.entries(sections).flatMap(([letter, { rows }]) => Object.keys(rows).map((id) => [letter, id]))
    expect(ids.map(([, id]) => id)).toEqual(ids.map(([letter], position) => `${letter}${position + 1}`))
    expect(ids).toHaveLength(116)
  })

  it('shows by row what tests came to, whatever their order', () => {
    const tests = [ran('A1: b'), ran('is | a test', 'passed', 'suite', 'A1: within'), ran('M1, A2: c', 'skipped')]
    const { text } = new FaultTable(some, tests)
    expect(text).toContain('| A1 ★ | one | `x/y` b<br>`x/y` suite › within › is \\| a test | passed |')
    expect(text).toContain('| A2 | two | `x/y` c | **skipped** |')
    expect(text).toContain('| A3 ★ | three | – | **no test** |')
    expect(text).toContain('1 of 2 ★ rows pass, 1 of 3 rows in all.')
    expect(new FaultTable(some, tests.toReversed()).text).toBe(text)
  })

  it('names gates without a passing test, failures, and tests of no row', () => {
    const tests = [ran('A1: b'), ran('A1: c', 'failed'), ran('A2: d', 'skipped'), ran('B7: e'), ran('M1: f')]
    expect(new FaultTable(some, tests).gaps).toEqual([
      'A1 ★ one: failed',
      'A3 ★ three: no test',
      'B7 is no row: `x/y` e',
    ])
  })

  it('has no gaps where every gate passes', () => {
    expect(new FaultTable(some, [ran('A1, A3: b')]).gaps).toEqual([])
  })
})
