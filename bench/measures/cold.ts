import { eventually } from '../../test/support/eventually.ts'
import type { Finding } from '../finding.ts'
import type { Lab } from '../lab.ts'
import { fetchBlobs } from '../load/blobs.ts'
import { alternate, type Pairs } from '../rounds.ts'
import { sizes } from '../scale.ts'
import type { Server } from '../servers/server.ts'
import type { Measure } from './measure.ts'

type ColdPull = {
  seconds: number
  /** How often upstream was asked for the blob by GET. */
  gets: number
}

/**
 * Each pull is of a blob that nobody has pulled before. It begins with all earlier writes on disk, with the blob in the
 * page cache, and with memory for it that is the machine's own already. Where both pull the same blob, whoever is
 * second finds it in better order.
 */
export async function coldPulls(
  lab: Lab,
  servers: { ours: Server; peer: Server },
  { seed, size, clients }: { seed: string; size: number; clients: number },
): Promise<Pairs<ColdPull>> {
  return alternate(lab.scale.coldRounds, async (side, round) => {
    await lab.emptyPageCache()
    const path = await lab.addBlob(`${seed} ${side} ${round}`, size)
    await getsDuring(lab, path, () => fetchBlobs({ url: lab.upstream.url, path, size, connections: 1, count: 1 }))
    await lab.settle()
    const task = { url: servers[side].url, path, size, connections: clients, count: clients }
    const { result, gets } = await getsDuring(lab, path, () => lab.withFreeMemory(2 * size, () => fetchBlobs(task)))
    await lab.upstream.remove(path)
    return { seconds: (result.endedAt - result.startedAt) / 1000, gets }
  })
}

/** Upstream writes of a request once it has ended, which may be a moment after whoever asked has all of it. */
async function getsDuring<T>(lab: Lab, path: string, work: () => Promise<T>): Promise<{ result: T; gets: number }> {
  const before = await lab.upstream.getsOf(path)
  const result = await work()
  await eventually(async () => {
    if ((await lab.upstream.getsOf(path)) === before) throw new Error(`upstream was not asked for ${path}`)
  })
  await lab.settle()
  return { result, gets: (await lab.upstream.getsOf(path)) - before }
}

const most = (pulls: readonly ColdPull[]): number => Math.max(...pulls.map(({ gets }) => gets))

const ofOneClient: Measure = {
  id: 'cold-blob',
  nullTest: 'null-cold',
  run: async (lab): Promise<Finding[]> => {
    const servers = { ours: lab.cistern, peer: lab.distribution }
    const { ours, peer } = await coldPulls(lab, servers, { seed: 'cold', size: sizes.cold, clients: 1 })
    const rate = ({ seconds }: ColdPull) => sizes.cold / 1e9 / seconds
    return [
      {
        id: 'cold-blob',
        title: 'cold 250 MB blob, one client',
        unit: 'GB/s',
        ours: ours.map(rate),
        peer: { name: 'distribution', values: peer.map(rate) },
        target: { direction: 'at least', must: 0.55, aim: 0.9 },
        notes: [
          'distribution neither syncs what it stores nor holds the end back until the digest is verified',
          `upstream GETs for one pull, at most: ${most(ours)}, distribution ${most(peer)}`,
        ],
      },
    ]
  },
}

const herdSize = 50

const ofAHerd: Measure = {
  id: 'herd',
  nullTest: 'null-cold',
  run: async (lab): Promise<Finding[]> => {
    const servers = { ours: lab.cistern, peer: lab.nginx }
    const { ours, peer } = await coldPulls(lab, servers, { seed: 'herd', size: sizes.big, clients: herdSize })
    return [
      {
        id: 'herd-gets',
        title: `cold herd, ${herdSize} clients × 100 MB: upstream GETs`,
        unit: 'GETs, at most',
        ours: [most(ours)],
        target: { direction: 'at most', must: 1, aim: 1 },
        notes: [`nginx: ${most(peer)}; counted in upstream's log`],
      },
      {
        id: 'herd',
        title: `cold herd, ${herdSize} clients × 100 MB: wall time`,
        unit: 's',
        ours: ours.map(({ seconds }) => seconds),
        peer: { name: 'nginx', values: peer.map(({ seconds }) => seconds) },
        target: { direction: 'at most', must: 1.15, aim: 1 },
      },
    ]
  },
}

export const cold: Measure[] = [ofOneClient, ofAHerd]
