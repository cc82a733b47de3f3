import { type Cores, cores } from '../cores.ts'
import type { Finding } from '../finding.ts'
import type { Lab } from '../lab.ts'
import { bytesReadByChildren } from '../processes.ts'
import { figure, times } from '../report/format.ts'
import { alternate, type Pairs, pick, type Side } from '../rounds.ts'
import { startNginx } from '../servers/nginx.ts'
import type { Server } from '../servers/server.ts'
import { median, ratios } from '../statistics.ts'
import type { Measure } from './measure.ts'
import { runLoad } from './rates.ts'

/** Two processes that serve clients, and one. */
type Servers = Record<Side, Server>

/**
 * Two workers beside their load generator cannot show twice the rate on two processors. What can be shown is that a
 * request costs no more, and that both have their share. The cost is compared where all rows are measured, on one
 * processor without the load: both are saturated there. On both processors, beside the load, one process is and two are
 * not; a process that is woken for each request pays for that, and so does nginx.
 */
export const workers: Measure = {
  id: 'workers',
  nullTest: 'null-rate',
  run: async (lab): Promise<Finding[]> => {
    const alone: Pairs<number> = { ours: [], peer: [] }
    for (let start = 0; start < lab.scale.workerStarts; start++) {
      const found = await withCisterns(lab, cores.server, (servers) => costs(lab, servers, lab.scale.slowSeconds))
      alone.ours.push(...found.ours)
      alone.peer.push(...found.peer)
    }
    const { beside, shares } = await withCisterns(lab, cores.both, async (servers) => {
      const before = await bytesReadByChildren(servers.ours.pid)
      const beside = await costs(lab, servers, lab.scale.spreadSeconds)
      const after = await bytesReadByChildren(servers.ours.pid)
      return { beside, shares: [...after].map(([pid, bytes]) => bytes - (before.get(pid) ?? 0)) }
    })
    const nginx = await withNginxes(lab, (servers) => costs(lab, servers, lab.scale.slowSeconds))
    return [
      {
        id: 'workers-cost',
        title: 'two workers against one: processor time per request',
        unit: 'CPU-µs',
        ours: alone.ours,
        peer: { name: 'one worker', values: alone.peer },
        target: { direction: 'at most', must: 1.1, aim: 1.05 },
        notes: [
          `on both processors, beside the load: ${inTurn(beside)}; nginx with two workers and one: ${inTurn(nginx)}`,
        ],
      },
      {
        id: 'workers-spread',
        title: 'two workers: how far apart their shares of the requests are',
        unit: '%',
        ours: [spreadOf(shares)],
        target: { direction: 'at most', must: 20, aim: 10 },
        notes: [`on both processors, beside the load; over ${lab.scale.rounds * lab.scale.spreadSeconds} s`],
      },
    ]
  },
}

async function withCisterns<T>(lab: Lab, on: Cores, work: (servers: Servers) => Promise<T>): Promise<T> {
  await using two = await lab.startCistern('cistern-two', { config: { workers: 2 }, on })
  await using one = await lab.startCistern('cistern-one', { config: { workers: 1 }, on })
  const servers = { ours: two, peer: one }
  await warmUp(lab, servers)
  return await work(servers)
}

async function withNginxes<T>(lab: Lab, work: (servers: Servers) => Promise<T>): Promise<T> {
  const { directory, upstream } = lab
  await using two = await startNginx(directory, upstream.url, { name: 'nginx-two', workers: 2, on: cores.both })
  await using one = await startNginx(directory, upstream.url, { name: 'nginx-one', on: cores.both })
  const servers = { ours: two, peer: one }
  await warmUp(lab, servers)
  return await work(servers)
}

async function warmUp(lab: Lab, servers: Servers): Promise<void> {
  for (const server of Object.values(servers)) {
    await lab.warm(server, lab.manifestByDigest)
    await runLoad(lab, { server, asked: manifest(lab) }, lab.scale.warmUpSeconds)
  }
}

const manifest = ({ manifestByDigest: path }: Lab) => ({ method: 'GET' as const, path })

/** Of a request, in microseconds. */
async function costs(lab: Lab, servers: Servers, seconds: number): Promise<Pairs<number>> {
  const found = await alternate(lab.scale.rounds, (side) =>
    runLoad(lab, { server: servers[side], asked: manifest(lab) }, seconds),
  )
  return pick(found, ({ perCpuSecond }) => 1e6 / perCpuSecond)
}

const inTurn = ({ ours, peer }: Pairs<number>): string =>
  `${figure(median(ours))} and ${figure(median(peer))} CPU-µs, ${times(median(ratios(ours, peer)))}`

/** The distance between the largest and the smallest, in percent of the largest. */
const spreadOf = (shares: readonly number[]): number => 100 * (1 - Math.min(...shares) / Math.max(...shares))
