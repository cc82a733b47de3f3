import { expect, it } from 'vitest'
import { ClientLimits } from '../../src/access/client-limits.ts'
import { LimitedRegistry } from '../../src/access/limited-registry.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { isKind } from '../../src/oci/errors.ts'
import { given } from '../cache/given.ts'

it('E78: questions about referrers that nothing has lead to nothing, whatever upstream calls them', async () => {
  const { upstream, registry } = given({ tagTtl: [] })
  const limits = new ClientLimits({ unknownPerMinute: 3, now: () => 0 })
  const limited = new LimitedRegistry(registry, limits, '192.0.2.1')
  const asked = ['a', 'b', 'c', 'd', 'e'].map((name) => digestOf(Buffer.from(name)))
  const descriptor = { mediaType: 'm', digest: digestOf(Buffer.from('signature')), size: 1 }
  for (const digest of asked) upstream.referrersOf.set(`app@${digest}`, digest === asked[0] ? [descriptor] : [])
  const answers = []
  for (const digest of asked) {
    answers.push(
      await limited.referrers('hub/app', digest).then(
        ({ referrers }) => referrers.length,
        (error: unknown) => isKind(error, 'throttled'),
      ),
    )
  }
  expect(answers).toEqual([1, 0, 0, 0, true])
  expect(upstream.count('referrers')).toBe(4)
})
