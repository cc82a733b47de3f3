import { describe, expect, it } from 'vitest'
import { type Finding, judge } from '../../bench/finding.ts'
import { figure, spread } from '../../bench/report/format.ts'
import { markdown } from '../../bench/report/markdown.ts'
import { picture, score } from '../../bench/report/picture.ts'
import type { Run } from '../../bench/report/run.ts'

const nullTest: Finding = {
  id: 'null-rate',
  title: 'null test: nginx against itself',
  unit: 'requests/s',
  ours: [100, 102],
  peer: { name: 'nginx', values: [100, 100] },
  target: { within: [0.95, 1.05] },
}

const faster: Finding = {
  id: 'digest-get',
  title: 'GET <manifest>',
  unit: 'requests/s',
  ours: [3000, 2000],
  peer: { name: 'nginx', values: [2000, 2000] },
  target: { direction: 'at least', must: 1, aim: 1.2 },
  notes: ['a note'],
}

const slower: Finding = {
  id: 'memory',
  title: 'memory',
  unit: 'MiB',
  ours: [300],
  target: { direction: 'at most', must: 256, aim: 160 },
}

const run = (...findings: Finding[]): Run => ({
  date: '2026-01-02',
  command: 'npm run bench',
  scale: 'full',
  generator: 'wrk',
  seconds: 600,
  machine: {
    processor: 'Some CPU',
    processors: 2,
    memoryGiB: 8,
    kernel: '6.1.0',
    system: 'Debian',
    versions: { nginx: '1.22.1' },
  },
  rows: findings.map(judge),
})

describe('the report', () => {
  it('has a line for each measure, and says which was not met', () => {
    const text = markdown(run(nullTest, faster, slower))

    expect(text).toContain(
      '| GET <manifest> `digest-get` | 2 500 (2 000–3 000) requests/s | nginx: 2 000 | 1.25× (1.00×–1.50×) | ≥ 1.00× | ≥ 1.20× | aim reached |',
    )
    expect(text).toContain('| memory `memory` | 300 MiB | – | – | ≤ 256 | ≤ 160 | **short** |')
    expect(text).toContain('The null tests hold. Short of what they must be: `memory`.')
    expect(text).toContain('- `digest-get`: a note.')
    expect(text).toContain('| nginx | 1.22.1 |')
  })

  it('says first that it is not valid', () => {
    const broken = { ...nullTest, ours: [120, 120] }

    expect(markdown(run(broken, faster)).split('\n')[2]).toMatch(/^\*\*This run is not valid\.\*\* null-rate is 1\.200/)
  })

  it('has as many digits as mean something', () => {
    expect([0.1234, 12.34, 123.4, 12345.6, 1234567].map(figure)).toEqual(['0.12', '12.3', '123', '12 346', '1 234 567'])
    expect(spread({ median: 1, min: 1, max: 1 })).toBe('1.00')
    expect(spread({ median: 1, min: 0.5, max: 2 })).toBe('1.00 (0.50–2.00)')
  })
})

describe('the picture', () => {
  it('has a bar for each measure that has to reach something', () => {
    const svg = picture(run(nullTest, faster, slower).rows)

    expect(svg.match(/<rect x=/g)).toHaveLength(2)
    expect(svg).toContain('GET &lt;manifest&gt;')
    expect(svg).toContain('1.25×')
    expect(svg).not.toContain('null test')
  })

  it('is longer where it is better, whichever way that is', () => {
    expect(score(2, { direction: 'at least', must: 1, aim: 1.5 })).toBe(2)
    expect(score(128, { direction: 'at most', must: 256, aim: 160 })).toBe(2)
    expect(score(512, { direction: 'at most', must: 256, aim: 160 })).toBe(0.5)
  })

  it('keeps within its frame what goes far beyond', () => {
    const svg = picture(run({ ...faster, ours: [90_000, 90_000] }).rows)
    const [, x, width] = /<rect x="(\d+)" y="[\d.]+" width="([\d.]+)"/.exec(svg) ?? []

    expect(Number(x) + Number(width)).toBeLessThan(960)
    expect(svg).toContain('45.0× →')
  })
})
