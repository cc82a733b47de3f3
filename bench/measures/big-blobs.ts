import type { Finding } from '../finding.ts'
import type { Lab } from '../lab.ts'
import { fetchBlobs } from '../load/blobs.ts'
import { cpuSecondsOf } from '../processes.ts'
import { alternate, pick } from '../rounds.ts'
import { sizes } from '../scale.ts'
import type { Server } from '../servers/server.ts'
import { median } from '../statistics.ts'
import type { Measure } from './measure.ts'

const gigabyte = 1e9

export type Throughput = { gigabytesPerSecond: number; cpuSecondsPerGigabyte: number }

type Connections = keyof Lab['scale']['bigBlobs']

/** Fetches a blob that is cached, on so many connections, each several times where the scale has it so. */
export async function throughput(
  lab: Lab,
  server: Server,
  path: string,
  connections: Connections,
): Promise<Throughput> {
  await server.forgetRequests()
  const count = lab.scale.bigBlobs[connections]
  const before = await cpuSecondsOf(server.pid)
  const task = { url: server.url, path, size: sizes.big, connections, count }
  const { bytes, startedAt, endedAt } = await lab.hitting(server, () => fetchBlobs(task))
  const cpuSeconds = (await cpuSecondsOf(server.pid)) - before
  return {
    gigabytesPerSecond: bytes / gigabyte / ((endedAt - startedAt) / 1000),
    cpuSecondsPerGigabyte: cpuSeconds / (bytes / gigabyte),
  }
}

const ofOneClient: Measure = {
  id: 'big-blob-1',
  nullTest: 'null-bytes',
  run: async (lab): Promise<Finding[]> => {
    const servers = { ours: lab.cistern, peer: lab.nginx }
    const path = await warmBlob(lab, Object.values(servers))
    const found = await alternate(lab.scale.byteRounds, (side) => throughput(lab, servers[side], path, 1))
    const rates = pick(found, ({ gigabytesPerSecond }) => gigabytesPerSecond)
    const work = pick(found, ({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte)
    return [
      {
        id: 'big-blob-1',
        title: '100 MB blob, one connection',
        unit: 'GB/s',
        ours: rates.ours,
        peer: { name: 'nginx', values: rates.peer },
        target: { direction: 'at least', must: 1, aim: 1.5 },
        notes: [`CPU-seconds per GB: ${median(work.ours).toFixed(2)}, nginx ${median(work.peer).toFixed(2)}`],
      },
    ]
  },
}

/** The client is the limit here: what a server can be told by is the work that a byte costs it. */
const ofMany = (connections: 16 | 64): Measure => ({
  id: `big-blob-${connections}`,
  nullTest: 'null-bytes',
  run: async (lab): Promise<Finding[]> => {
    const servers = { ours: lab.cistern, peer: lab.distribution }
    const path = await warmBlob(lab, Object.values(servers))
    const found = await alternate(lab.scale.rounds, (side) => throughput(lab, servers[side], path, connections))
    const rates = pick(found, ({ gigabytesPerSecond }) => gigabytesPerSecond)
    const work = pick(found, ({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte)
    return [
      {
        id: `big-blob-${connections}`,
        title: `100 MB blob, ${connections} connections`,
        unit: 'CPU-s/GB',
        ours: work.ours,
        peer: { name: 'distribution', values: work.peer },
        target: { direction: 'at most', must: 1, aim: 0.6 },
        notes: [
          'the load generator is the limit: judged by the work per byte',
          `GB/s: ${median(rates.ours).toFixed(2)}, distribution ${median(rates.peer).toFixed(2)}`,
        ],
      },
    ]
  },
})

/** The same blob for all of these, pushed again where it is there already. */
export async function warmBlob(lab: Lab, servers: readonly Server[]): Promise<string> {
  const path = await lab.addBlob('big', sizes.big)
  for (const server of servers) await lab.warm(server, path)
  for (const server of servers) await throughput(lab, server, path, 1)
  await lab.settle()
  return path
}

export const bigBlobs: Measure[] = [ofOneClient, ofMany(16), ofMany(64)]
