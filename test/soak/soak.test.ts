import { expect, it } from 'vitest'
import { soak } from './soak.ts'

it('H106: a short soak of kills, faults and damage leaves no wrong answer, no leak and nothing partial', async () => {
  const report = await soak({ seconds: 12, seed: 1 })

  expect(report.violations).toEqual([])
  expect(report.right).toBeGreaterThan(10)
  expect(report.kills).toBeGreaterThan(0)
  expect(report.evicted).toBeGreaterThan(0)
}, 120_000)
