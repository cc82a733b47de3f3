import { parseArgs } from 'node:util'
import { soak } from './soak.ts'

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } })
const seconds = Number(values.seconds ?? (process.env.CI === 'true' ? 30 : 300))
const seed = Number(values.seed ?? Date.now() % 1_000_000)

const report = await soak({ seconds, seed })
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
process.stdout.write(`${report.right} right answers, ${report.kills} kills, ${report.violations.length} violations\n`)
process.exitCode = report.violations.length > 0 ? 1 : 0
