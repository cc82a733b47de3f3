import { expect, it } from 'vitest'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { fetchDigest } from '../support/http.ts'
import { noise, sha256 } from '../support/images.ts'
import { pushBlob } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'

withTools(...registryTools)('fifty clients', () => {
  it('share one transfer of a cold blob of 100 MB', async () => {
    await using registry = await startRegistry('token')
    await using cistern = await startCistern({ rules: [ruleFor(registry)] })
    const bytes = noise('one hundred', 100_000_000)
    const digest = sha256(bytes)
    const target = { url: registry.proxy.url, authorization: registry.authorization }
    await pushBlob(target, 'team/big', { mediaType: 'application/octet-stream', digest, bytes })
    registry.proxy.forget()
    const url = `${cistern.url}/v2/up.example/team/big/blobs/${digest}`

    const all = await Promise.all(Array.from({ length: 50 }, () => fetchDigest(url)))
    const blobRequests = registry.proxy.seen.filter(
      ({ path, authorization }) => path.includes('/blobs/') && authorization,
    )
    registry.proxy.forget()
    const another = await fetchDigest(url)

    expect(all.map((answer) => [answer.status, answer.digest])).toEqual(all.map(() => [200, digest]))
    expect(blobRequests.map(({ method }) => method)).toEqual(['GET'])
    expect(another).toMatchObject({ status: 200, digest, size: bytes.length })
    expect(another.headers['cache-status']).toMatch(/^cistern; hit/)
    expect(registry.proxy.seen).toEqual([])
  }, 120_000)
})
