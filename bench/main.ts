import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pinThisProcess } from './cores.ts'
import { doubts, judge, type Row } from './finding.ts'
import { Lab } from './lab.ts'
import { bestGenerator } from './load/rate.ts'
import { describeMachine } from './machine.ts'
import { measures, selected } from './measures/all.ts'
import { type Options, readOptions, usage } from './options.ts'
import { writeReport } from './output.ts'
import { figure, spread, times } from './report/format.ts'
import type { Run } from './report/run.ts'
import { scales } from './scale.ts'
import { installTools } from './tools.ts'

const say = (line: string): void => void process.stdout.write(`${line}\n`)

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const ids = measures.map(({ id }) => id)
  try {
    const options = readOptions(args, ids)
    await installTools()
    pinThisProcess()
    const command = ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ')
    const run = await bench(options, command)
    for (const doubt of doubts(run.rows)) say(`not valid: ${doubt}`)
    say(`written to ${await writeReport(run, { whole: !options.short && !options.only && !options.profile })}`)
    return 0
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    if (error instanceof TypeError) process.stderr.write(usage(ids))
    return 1
  }
}

async function bench(options: Options, command: string): Promise<Run> {
  const startedAt = performance.now()
  const scale = scales[options.short ? 'short' : 'full']
  const generator = options.generator ?? bestGenerator()
  const profileDirectory = options.profile ? await mkdtemp(join(tmpdir(), 'cistern-profile-')) : undefined
  const rows: Row[] = []
  const machine = await describeMachine()
  const interrupted = interruption()
  {
    await using lab = await Lab.open({ scale, generator, ...(profileDirectory !== undefined && { profileDirectory }) })
    for (const { id, run } of selected(options.only)) {
      const begunAt = performance.now()
      for (const found of await Promise.race([run(lab), interrupted])) rows.push(announced(judge(found)))
      say(`  ${id} took ${Math.round((performance.now() - begunAt) / 1000)} s`)
    }
  }
  if (profileDirectory !== undefined) say(`profiles are in ${profileDirectory}`)
  const seconds = (performance.now() - startedAt) / 1000
  const date = new Date().toISOString().slice(0, 10)
  return { date, command, scale: scale.name, generator, seconds, machine, rows }
}

function announced(row: Row): Row {
  const { id, our, unit, peer, their, ratio, verdict, notes = [] } = row
  const compared = peer && their && ratio ? `, ${peer.name} ${spread(their)}: ${spread(ratio, times)}` : ''
  say([`${id}: ${spread(our, figure)} ${unit}${compared}: ${verdict}`, ...notes].join('; '))
  return row
}

/** Rejects at the first signal to end: what was started is ended then, in order. A second one ends this process. */
function interruption(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => reject(new Error(`ended by ${signal}`)))
  promise.catch(() => {}) // nobody may be waiting at that moment
  return promise
}
