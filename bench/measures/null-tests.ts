import { mkdtempDisposable } from 'node:fs/promises'
import { join } from 'node:path'
import type { Finding, Target } from '../finding.ts'
import { alternate } from '../rounds.ts'
import { sizes } from '../scale.ts'
import { startDistribution } from '../servers/registry.ts'
import { throughput, warmBlob } from './big-blobs.ts'
import { coldPulls } from './cold.ts'
import type { Measure } from './measure.ts'
import { compareRates } from './rates.ts'

/** A peer against itself is 1. Where it is not, neither is anything else what it seems. */
const target: Target = { within: [0.95, 1.05] }

const ofRates: Measure = {
  id: 'null-rate',
  run: async (lab) => {
    const subject = { server: lab.nginx, asked: { method: 'GET' as const, path: lab.manifestByDigest } }
    const title = 'null test: GET manifest by digest, nginx against itself'
    return [await compareRates(lab, subject, subject, { id: 'null-rate', title, target, seconds: lab.scale.seconds })]
  },
}

const ofBytes: Measure = {
  id: 'null-bytes',
  run: async (lab): Promise<Finding[]> => {
    const path = await warmBlob(lab, [lab.nginx])
    const found = await alternate(lab.scale.byteRounds, () => throughput(lab, lab.nginx, path, 1))
    const rates = (side: 'ours' | 'peer') => found[side].map(({ gigabytesPerSecond }) => gigabytesPerSecond)
    return [
      {
        id: 'null-bytes',
        title: 'null test: 100 MB blob, one connection, nginx against itself',
        unit: 'GB/s',
        ours: rates('ours'),
        peer: { name: 'nginx', values: rates('peer') },
        target,
      },
    ]
  },
}

const ofColdPulls: Measure = {
  id: 'null-cold',
  run: async (lab): Promise<Finding[]> => {
    const { upstream } = lab
    await using scratch = await mkdtempDisposable(join(lab.directory, 'null-cold-')) // gigabytes, of no use afterwards
    await using first = await startDistribution(scratch.path, upstream.url, 'distribution-first')
    await using second = await startDistribution(scratch.path, upstream.url, 'distribution-second')
    const servers = { ours: first, peer: second }
    const { ours, peer } = await coldPulls(lab, servers, { seed: 'null', size: sizes.cold, clients: 1 })
    return [
      {
        id: 'null-cold',
        title: 'null test: cold 250 MB blob, one client, two of distribution',
        unit: 's',
        ours: ours.map(({ seconds }) => seconds),
        peer: { name: 'distribution', values: peer.map(({ seconds }) => seconds) },
        target,
      },
    ]
  },
}

export const nullTests: Measure[] = [ofRates, ofBytes, ofColdPulls]
