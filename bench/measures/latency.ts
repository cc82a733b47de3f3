import type { Finding } from '../finding.ts'
import type { Lab } from '../lab.ts'
import { fetchBlobs } from '../load/blobs.ts'
import { timeFirstBytes } from '../load/first-bytes.ts'
import { type Timing, timeSteadily } from '../load/steady.ts'
import { alternate, counterbalanced } from '../rounds.ts'
import { sizes } from '../scale.ts'
import { median, percentile } from '../statistics.ts'
import type { Measure } from './measure.ts'

/** Blobs from upstream and blobs through the cache, in either order; the difference is what the cache adds. */
const firstByte: Measure = {
  id: 'first-byte',
  run: async (lab): Promise<Finding[]> => {
    const origins = { ours: lab.cistern.url, peer: lab.upstream.url }
    const order = counterbalanced(lab.scale.firstBytes)
    const fetches: { origin: string; path: string }[] = []
    for (const [turn, side] of order.entries()) {
      fetches.push({ origin: origins[side], path: await lab.addBlob(`first ${turn}`, sizes.firstByte) })
    }
    await lab.settle()
    const task = { origins: Object.values(origins), fetches }
    const times = await lab.withFreeMemory(lab.scale.firstBytes * sizes.firstByte, () => timeFirstBytes(task))
    const of = (wanted: string) => times.filter((_, turn) => order[turn] === wanted)
    const [ours, upstream] = [of('ours'), of('peer')]
    const above = ours.map((time, n) => time - (upstream[n] ?? Number.NaN))
    return [
      {
        id: 'first-byte',
        title: "first byte on a miss, above upstream's own, 4 MiB blobs",
        unit: 'ms',
        ours: above,
        target: { direction: 'at most', must: 5, aim: 2 },
        notes: [
          `first byte from upstream: ${median(upstream).toFixed(2)} ms, through Cistern: ${median(ours).toFixed(2)} ms`,
        ],
      },
    ]
  },
}

/** Well below what a server can do beside a fill: what is timed is how long it lets a hit wait, not a queue. */
const perSecond = 500
const connections = 8

/** A fill begins when so many requests have been timed. */
const leadMs = 300

/** Hits on a manifest while another client pulls a gigabyte that is not cached, against hits while nobody else is there. */
const hitsDuringFill: Measure = {
  id: 'hit-during-fill',
  run: async (lab): Promise<Finding[]> => {
    const path = lab.manifestByDigest
    await lab.warm(lab.cistern, path)
    const asking = () =>
      timeSteadily({ url: lab.cistern.url, path, connections, perSecond, seconds: lab.scale.steadySeconds })
    for (let n = 0; n < lab.scale.warmUpFills; n++)
      await askingDuringFill(lab, asking, await lab.addBlob(`warm-up ${n}`, sizes.huge))
    const p99 = await alternate(lab.scale.fillRounds, async (side, round) => {
      await lab.emptyPageCache()
      const huge = side === 'ours' ? await lab.addBlob(`huge ${round}`, sizes.huge) : undefined
      await lab.settle()
      await lab.cistern.forgetRequests()
      if (huge === undefined) return p99Of(await asking())
      return p99Of(await lab.withFreeMemory(1.1 * sizes.huge, () => askingDuringFill(lab, asking, huge)))
    })
    return [
      {
        id: 'hit-during-fill',
        title: 'p99 of hits while a 1 GiB blob is filled, against idle p99',
        unit: 'ms',
        ours: p99.ours,
        peer: { name: 'Cistern, idle', values: p99.peer },
        target: { direction: 'at most', must: 3, aim: 1.5 },
        notes: [`${perSecond} requests a second, whether they are answered or not; the wait for a connection counts`],
      },
    ]
  },
}

async function askingDuringFill(lab: Lab, asking: () => Promise<Timing[]>, path: string): Promise<Timing[]> {
  const timing = asking()
  const filling = new Promise((resolve) => setTimeout(resolve, leadMs)).then(() =>
    fetchBlobs({ url: lab.cistern.url, path, size: sizes.huge, connections: 1, count: 1 }),
  )
  const [timings, { startedAt, endedAt }] = await Promise.all([timing, filling])
  await lab.upstream.remove(path)
  return timings.filter(({ dueAt }) => dueAt >= startedAt && dueAt <= endedAt)
}

const p99Of = (timings: readonly Timing[]): number =>
  percentile(
    timings.map(({ latencyMs }) => latencyMs),
    0.99,
  )

export const latency: Measure[] = [firstByte, hitsDuringFill]
