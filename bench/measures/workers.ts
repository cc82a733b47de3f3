import { schema } from '../../src/config/schema.ts'
import { cores } from '../cores.ts'
import type { Finding, Missing } from '../finding.ts'
import type { Lab } from '../lab.ts'
import { cpuSecondsOfChildren } from '../processes.ts'
import { alternate, pick } from '../rounds.ts'
import type { Server } from '../servers/server.ts'
import { median } from '../statistics.ts'
import type { Measure } from './measure.ts'
import { runLoad } from './rates.ts'

const isBuilt = 'workers' in schema.shape

/**
 * Two workers beside their load generator cannot show twice the rate on two processors. What can be shown is that a
 * request costs no more, and that both have their share. All may run on both processors.
 */
export const workers: Measure = {
  id: 'workers',
  nullTest: 'null-rate',
  run: async (lab): Promise<(Finding | Missing)[]> => {
    if (!isBuilt) return [{ id: 'workers', title: 'two workers against one', missing: 'not built' }]
    await using two = await lab.startCistern('cistern-two', { config: { workers: 2 }, on: cores.both })
    await using one = await lab.startCistern('cistern-one', { config: { workers: 1 }, on: cores.both })
    return await measure(lab, { ours: two, peer: one })
  },
}

async function measure(lab: Lab, servers: { ours: Server; peer: Server }): Promise<Finding[]> {
  const asked = { method: 'GET' as const, path: lab.manifestByDigest }
  for (const server of Object.values(servers)) {
    await lab.warm(server, asked.path)
    await runLoad(lab, { server, asked }, lab.scale.warmUpSeconds)
  }
  const before = await cpuSecondsOfChildren(servers.ours.pid)
  const found = await alternate(lab.scale.rounds, (side) =>
    runLoad(lab, { server: servers[side], asked }, lab.scale.seconds),
  )
  const after = await cpuSecondsOfChildren(servers.ours.pid)
  const shares = [...after].map(([pid, seconds]) => seconds - (before.get(pid) ?? 0))
  const cost = pick(found, ({ perCpuSecond }) => 1e6 / perCpuSecond)
  const rates = pick(found, ({ rate }) => rate)
  return [
    {
      id: 'workers-cost',
      title: 'two workers against one: processor time per request',
      unit: 'CPU-µs',
      ours: cost.ours,
      peer: { name: 'one worker', values: cost.peer },
      target: { direction: 'at most', must: 1.1, aim: 1.05 },
      notes: [`requests/s: ${Math.round(median(rates.ours))}, one worker ${Math.round(median(rates.peer))}`],
    },
    {
      id: 'workers-spread',
      title: 'two workers: how far apart their shares of the work are',
      unit: '%',
      ours: [spreadOf(shares)],
      target: { direction: 'at most', must: 20, aim: 10 },
      notes: ['by the processor time of each'],
    },
  ]
}

/** The distance between the largest and the smallest, in percent of the largest. */
const spreadOf = (shares: readonly number[]): number => 100 * (1 - Math.min(...shares) / Math.max(...shares))
