import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RuleConfig } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { type FaultyUpstream, image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { BlackHole } from './black-hole.ts'
import { told } from './client.ts'
import { Ground, ruleTo, shortPatience } from './ground.ts'
import { Names } from './names.ts'
import { Scratch } from './scratch.ts'

const unavailable = { status: 502, code: 'UNAVAILABLE' }
const late = { status: 504, code: 'UNAVAILABLE' }
const stale = expect.stringMatching(/^299 cistern "stale: upstream unavailable"$/)

const resources = new AsyncDisposableStack()
let ground: Ground
let names: Names
let hole: BlackHole
let named: FaultyUpstream
let missing: FaultyUpstream
let dual: FaultyUpstream
const secured: Record<string, FaultyUpstream> = {}
const port = (upstream: FaultyUpstream) => new URL(upstream.url).port

beforeAll(async () => {
  names = resources.use(await Names.start())
  names.add('named.test', '127.0.0.1')
  names.add('dual.test', '::1', '127.0.0.1')
  hole = resources.use(await BlackHole.start())
  const scratch = resources.use(await Scratch.start())
  const certificates = {
    expired: selfSigned({ expired: true }),
    elsewhere: selfSigned({ ip: [127, 0, 0, 2] }),
    unknown: selfSigned(),
    good: selfSigned(),
  }
  const credential = { username: 'user', password: 'password' }
  const securedRules: RuleConfig[] = []
  for (const [name, tls] of Object.entries(certificates)) {
    const upstream = resources.use(await startUpstream({ tls }))
    upstream.requireBasic('user', 'password')
    secured[name] = upstream
    const ca = await scratch.write(`${name}.pem`, tls.cert)
    securedRules.push(ruleTo(`${name}.test`, upstream.url, { credential, ...(name !== 'unknown' && { ca }) }))
  }
  ;[named, missing, dual] = [
    resources.use(await startUpstream()),
    resources.use(await startUpstream()),
    resources.use(await startUpstream()),
  ]
  ground = resources.use(
    await Ground.start({
      sites: 6,
      timeouts: shortPatience,
      env: names.env,
      rules: [
        ruleTo('named.test', `http://named.test:${port(named)}`),
        ruleTo('missing.test', `http://missing.test:${port(missing)}`, { negativeTtl: '1h' }),
        ruleTo('dual.test', `http://dual.test:${port(dual)}`),
        ruleTo('hole.test', `http://127.0.0.1:${hole.port}`),
        ...securedRules,
      ],
    }),
  )
})

afterAll(() => resources.disposeAsync())

describe.concurrent('an upstream that cannot be reached', () => {
  it('A1: its name is no more: a cached tag is served stale', async () => {
    const { digest, bytes } = named.addImage('team/app', 'v1', image())
    const client = ground.at('named.test')
    expect(await client.manifest('team/app', 'v1')).toMatchObject({ status: 200 })
    names.remove('named.test')
    await named.goDown() // the connection that is kept would need no name
    await named.comeUp()
    named.forget()

    const again = await client.manifest('team/app', 'v1')

    expect(again).toMatchObject({ status: 200, headers: { 'docker-content-digest': digest, warning: stale } })
    expect(again.body.equals(bytes)).toBe(true)
    expect(named.requests()).toEqual([])
  })

  it('A2: its name is unknown: 502, and found as soon as the name is there', async () => {
    missing.addImage('team/app', 'v1', image())
    const client = ground.at('missing.test')
    expect(told(await client.manifest('team/app', 'v1'))).toEqual(unavailable)
    expect(told(await client.blob('team/app', randomBlob(10).digest))).toEqual(unavailable)

    names.add('missing.test', '127.0.0.1')

    expect(await client.manifest('team/app', 'v1')).toMatchObject({ status: 200 })
  })

  it('A3: connections are refused: a cached tag is stale, a miss is 502, and it works again after', async () => {
    const { upstream, ...site } = ground.site()
    const { layers, digest } = upstream.addImage('team/app', 'v1', image())
    const client = ground.at(site.prefix)
    expect(await client.manifest('team/app', 'v1')).toMatchObject({ status: 200 })
    await upstream.goDown()

    const again = await client.manifest('team/app', 'v1')
    expect(again).toMatchObject({ status: 200, headers: { 'docker-content-digest': digest, warning: stale } })
    expect(told(await client.blob('team/app', layers[0]?.digest ?? ''))).toEqual(unavailable)
    expect(told(await client.manifest('team/app', 'v2'))).toEqual(unavailable)

    await upstream.comeUp()
    expect(await client.blob('team/app', layers[0]?.digest ?? '')).toMatchObject({ status: 200, complete: true })
  })

  it('A3: connection attempts vanish: 504 in time', async () => {
    expect(told(await ground.at('hole.test').manifest('team/app', 'v1'))).toEqual(late)
  })

  it('A3: the breaker opens, spares upstream, and lets it in again', async () => {
    const site = ground.site()
    const { upstream } = site
    const { digest, config } = upstream.addImage('team/app', 'v1', image())
    expect(await site.manifest('team/app', 'v1')).toMatchObject({ status: 200 })
    upstream.fault('*', { reset: true })
    const state = () =>
      ground
        .metrics()
        .then((text) =>
          text.split('\n').find((line) => line.includes(`breaker_state{upstream_host="${upstream.host}"`)),
        )
    for (let asked = 0; asked < 5; asked++)
      expect(told(await site.blob('team/app', config.digest))).toEqual(unavailable)
    expect(await state()).toMatch(/ 2$/)
    const asked = upstream.requests().length

    for (let more = 0; more < 5; more++) expect(told(await site.blob('team/app', config.digest))).toEqual(unavailable)
    expect(await site.manifest('team/app', 'v1')).toMatchObject({ status: 200, headers: { warning: stale } })
    expect(await site.manifest('team/app', digest)).toMatchObject({ status: 200 })
    expect(upstream.requests()).toHaveLength(asked)

    upstream.heal()
    await eventually(async () => {
      expect(await site.blob('team/app', config.digest)).toMatchObject({ status: 200 })
    }, 20_000)
    expect(await state()).toMatch(/ 0$/)
  })

  it.each(['expired', 'elsewhere', 'unknown'])(
    'A4: a certificate that is not good (%s): 502, nothing said',
    async (name) => {
      secured[name]?.addImage('team/app', 'v1', image())
      expect(told(await ground.at(`${name}.test`).manifest('team/app', 'v1'))).toEqual(unavailable)
      expect(secured[name]?.requests()).toEqual([])
    },
  )

  it('A4: a private authority that the rule names is trusted', async () => {
    secured.good?.addImage('team/app', 'v1', image())
    expect(await ground.at('good.test').manifest('team/app', 'v1')).toMatchObject({ status: 200 })
  })

  it('A5: it accepts and says nothing: a cached tag is served stale, a miss is 504', async () => {
    const site = ground.site()
    const { upstream } = site
    const { digest, layers } = upstream.addImage('team/app', 'v1', image())
    expect(await site.manifest('team/app', 'v1')).toMatchObject({ status: 200 })
    upstream.fault('*', { hang: true })

    const [again, blob, manifest] = await Promise.all([
      site.manifest('team/app', 'v1'),
      site.blob('team/app', layers[0]?.digest ?? ''),
      site.manifest('team/app', 'v2'),
    ])

    expect(again).toMatchObject({ status: 200, headers: { 'docker-content-digest': digest, warning: stale } })
    expect([told(blob), told(manifest)]).toEqual([late, late])
  })

  it('A25: one of its addresses does not answer: the other one is used', async () => {
    dual.addImage('team/app', 'v1', image())
    expect(await ground.at('dual.test').manifest('team/app', 'v1')).toMatchObject({ status: 200 })
  })
})

describe.concurrent('an answer that is none', () => {
  it.each([
    ['both lengths', 'Content-Length: 5\r\nTransfer-Encoding: chunked'],
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 7'],
  ])('A16: %s: 502, and the next answer is right', async (_, headers) => {
    const site = ground.site()
    const { bytes } = site.upstream.addImage('team/app', 'v1', image())
    const raw = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${headers}\r\n\r\n{"a":1}`
    site.upstream.fault('manifest', { raw, times: 3 })

    expect(told(await site.manifest('team/app', 'v1'))).toEqual(unavailable)
    site.upstream.heal()
    expect((await site.manifest('team/app', 'v1')).body.equals(bytes)).toBe(true)
  })

  it('A19: a web page in place of a manifest: 502, and nothing is kept', async () => {
    const site = ground.site()
    const { digest } = site.upstream.addImage('team/app', 'v1', image({ seed: 'A19' }))
    site.upstream.fault('manifest', { body: '<html>sign in</html>', headers: { 'content-type': 'text/html' } })
    for (const reference of ['v1', digest]) {
      const got = await site.manifest('team/app', reference)
      expect(told(got)).toEqual(unavailable)
      expect(got.body.toString()).not.toContain('sign in')
    }
    expect(await ground.stored()).not.toContain(digest)
    site.upstream.heal()
    expect(await site.manifest('team/app', 'v1')).toMatchObject({
      status: 200,
      headers: { 'docker-content-digest': digest },
    })
  })
})
