import { expect, it } from 'vitest'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { makeImage } from '../support/images.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'

withTools(...registryTools)('a real upstream', () => {
  it('B31: a tag that moves is old within its time, then new; the old digest stays, also in an outage', async () => {
    await using registry = await startRegistry()
    const lasting = ruleFor(registry, { prefix: 'lasting', tagTtl: '1h' })
    const fleeting = ruleFor(registry, { prefix: 'fleeting', tagTtl: '0' })
    await using cistern = await startCistern({ rules: [lasting, fleeting] })
    const [before, after] = [makeImage({ seed: 'before', layers: 1 }), makeImage({ seed: 'after', layers: 1 })]
    const get = (prefix: string, reference: string) =>
      fetchDigest(`${cistern.url}/v2/${prefix}/team/app/manifests/${reference}`)
    await push(registry, 'team/app', 'latest', before)
    const first = [await get('lasting', 'latest'), await get('fleeting', 'latest')]
    await push(registry, 'team/app', 'latest', after)

    const second = [await get('lasting', 'latest'), await get('fleeting', 'latest')]
    await registry.proxy.switchOff()
    const outage = await get('fleeting', 'latest')
    const old = await get('fleeting', before.digest)

    expect(first.map(({ digest }) => digest)).toEqual([before.digest, before.digest])
    expect(second.map(({ digest }) => digest)).toEqual([before.digest, after.digest])
    expect(outage).toMatchObject({ status: 200, digest: after.digest })
    expect(outage.headers.warning).toMatch(/^299 /)
    expect(outage.headers['cache-status']).toMatch(/^cistern/)
    expect(old).toMatchObject({ status: 200, digest: before.digest })
  })

  it('H115: a cache behind a cache brings the right bytes, ranges and sizes from one transfer', async () => {
    await using registry = await startRegistry('htpasswd')
    await using inner = await startCistern({ rules: [ruleFor(registry)] })
    const rule = { prefix: 'chain', upstream: inner.url, upstreamRepositoryPrefix: 'up.example' }
    await using outer = await startCistern({ rules: [rule] })
    const image = makeImage({ seed: 'chain', layers: 1, layerSize: 5_000_000 })
    await push(registry, 'team/app', 'v1', image)
    const layer = image.blobs[1]
    const blobUrl = `${outer.url}/v2/chain/team/app/blobs/${layer?.digest}`

    const manifest = await fetchDigest(`${outer.url}/v2/chain/team/app/manifests/v1`)
    const head = await fetch(blobUrl, { method: 'HEAD' })
    const part = await fetchBytes(blobUrl, { range: 'bytes=1000-1999' })
    const whole = await fetchDigest(blobUrl)

    expect(manifest.digest).toBe(image.digest)
    expect(head.headers.get('content-length')).toBe(String(layer?.bytes.length))
    expect(part).toMatchObject({ status: 206, bytes: layer?.bytes.subarray(1000, 2000) })
    expect(whole).toMatchObject({ status: 200, digest: layer?.digest })
    const transfers = registry.proxy.seen.filter(
      (seen) => seen.method === 'GET' && seen.path.includes('/blobs/') && seen.authorization,
    )
    expect(transfers).toHaveLength(1)
  })

  it('H112: starts while the upstream is down, is ready, and serves what it has', async () => {
    await using registry = await startRegistry()
    await using cistern = await startCistern({ rules: [ruleFor(registry)] })
    const image = makeImage({ seed: 'sealed', layers: 1 })
    await push(registry, 'team/app', 'v1', image)
    const url = () => `${cistern.url}/v2/up.example/team/app/manifests/v1`
    await fetchDigest(url())
    await registry.proxy.switchOff()

    await cistern.restart()
    const ready = await fetch(`${cistern.adminUrl}/readyz`)
    const cached = await fetchDigest(url())
    const unknown = await fetch(`${cistern.url}/v2/up.example/team/app/manifests/v2`)

    expect(ready.status).toBe(200)
    expect(cached).toMatchObject({ status: 200, digest: image.digest })
    expect(unknown.status).toBe(502)
    expect(await unknown.json()).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
  })
})
