import { describe, expect, it } from 'vitest'
import { referrersTag } from '../../src/oci/reference.ts'
import type { Dialect } from '../../src/rules/rule.ts'
import { quirks } from '../../src/upstream/dialect.ts'
import { upstreamTo } from '../support/faulty-rule.ts'
import { image, manifestOf, ociIndex, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'

describe('dialects', () => {
  it.each([
    ['generic', '1000'],
    ['docker-hub', '1000'],
    ['ecr', '1000'],
    ['quay', '100'],
    ['gcr', null],
  ] as [Dialect, string | null][])('%s: tags are asked for with n=%s', async (dialect, n) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { changes: { dialect } })
    remote.addImage(repository, 'latest', image())
    expect((await upstream.tags(repository)).tags).toEqual(['latest'])
    const [request] = remote.requests('GET', 'tags')
    expect(new URL(request?.url ?? '', remote.url).searchParams.get('n')).toBe(n)
  })

  it.each([
    ['ghcr', ['manifest']],
    ['generic', ['referrers', 'manifest']],
  ] as [Dialect, string[]][])('%s: referrers are looked for in %j', async (dialect, kinds) => {
    await using remote = await startUpstream({ referrers: false })
    await using upstream = upstreamTo(remote.url, { changes: { dialect } })
    const { digest } = remote.addImage(repository, 'latest', image())
    const signature = image({ seed: 'signature' })
    remote.addManifest(repository, referrersTag(digest), manifestOf({ manifests: [signature.descriptor] }, ociIndex))
    expect((await upstream.referrers(repository, digest)).referrers).toEqual([signature.descriptor])
    expect(remote.requests().map(({ kind }) => kind)).toEqual(kinds)
  })

  it('all are in the table, and ask for no longer pages than ECR allows', () => {
    for (const { tagPageSize = 1 } of Object.values(quirks)) expect(tagPageSize).toBeLessThanOrEqual(1000)
    expect(Object.keys(quirks)).toHaveLength(9)
  })
})
