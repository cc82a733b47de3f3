import { fetchBytes } from '../../test/support/http.ts'
import type { Finding } from '../finding.ts'
import { prefix } from '../servers/cistern.ts'
import { Server } from '../servers/server.ts'
import { placeOf, store } from '../stored.ts'
import type { Measure } from './measure.ts'

const pollMs = 5

/** From the start of the process until `/readyz` says so and clients get answers, again and again on the same data. */
export const ready: Measure = {
  id: 'ready',
  run: async (lab): Promise<Finding[]> => {
    const { stored, starts } = lab.scale
    const { options, dataDir } = await lab.prepareCistern('cistern-stored')
    await store({ dataDir, prefix, upstream: lab.upstream.url, count: stored })
    await lab.settle()
    const seconds: number[] = []
    for (let n = 0; n < starts; n++) {
      const startedAt = performance.now()
      await using server = await Server.start(options, { immediately: true })
      await server.answers(pollMs)
      seconds.push((performance.now() - startedAt) / 1000)
      await assertServes(server, placeOf(stored - 1))
    }
    const count = stored.toLocaleString('en-US').replace(',', ' ')
    return [
      {
        id: 'ready',
        title: `ready with ${count} blobs and ${count} tags on disk`,
        unit: 's',
        ours: seconds,
        target: { direction: 'at most', must: 2, aim: 0.5 },
        notes: ['what is on disk is in the page cache'],
      },
    ]
  },
}

/** What was laid out is what this Cistern takes for its own: upstream has none of it. */
async function assertServes({ url }: Server, { repository, tag }: ReturnType<typeof placeOf>): Promise<void> {
  const { status } = await fetchBytes(`${url}/v2/${repository}/manifests/${tag}`)
  if (status !== 200) throw new Error(`what is stored is not served: ${status}`)
}
