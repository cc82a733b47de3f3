import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { image, randomBlob } from '../support/faulty-upstream.ts'
import { RawConnection } from '../support/raw-http.ts'
import { ask, digestOfBytes, told } from './client.ts'
import { Crowd, getting } from './crowd.ts'
import { Ground, type Site, shortPatience } from './ground.ts'

const MiB = 1024 * 1024
const repository = 'team/app'
const hostile = '127.0.0.2'

const randomDigest = () => `sha256:${randomBytes(32).toString('hex')}`
const portOf = (ground: Ground) => Number(new URL(ground.cistern.url).port)

/** A site whose image is in the cache, and somebody who pulls it again and again. */
async function warm(ground: Ground, size = 100_000) {
  const site = ground.site()
  const pushed = site.upstream.addImage(repository, 'v1', image({ seed: site.prefix, layers: [size] }))
  const layer = pushed.layers[0]?.digest ?? ''
  await site.manifest(repository, pushed.digest)
  await site.blob(repository, layer)
  await ground.keeps(layer)
  site.upstream.forget()
  const pull = async () => {
    const manifest = await site.manifest(repository, pushed.digest)
    const blob = await site.blob(repository, layer)
    return [manifest, blob].map(({ status, body }) => `${status} ${digestOfBytes(body)}`)
  }
  const right = [`200 ${pushed.digest}`, `200 ${layer}`]
  return { site, pull, right, layer, pushed }
}

const hidden = (path: string) => {
  const inner = getting(path)
  return `POST /v2/ HTTP/1.1\r\nHost: test\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`
}

describe('sockets', () => {
  it('D61: a thousand that drip, hundreds that read nothing and a flood: the hits of another client go on', async () => {
    const timeouts = { ...shortPatience, requestHead: '2s', writeStall: '2s' }
    await using ground = await Ground.start({ sites: 2, config: { timeouts, limits: { unknownPerMinute: 50 } } })
    const { site, pull, right } = await warm(ground)
    const big = site.upstream.addBlob(repository, randomBlob(16 * MiB, 'D61'))
    await site.blob(repository, big.digest)
    await ground.keeps(big.digest)
    site.upstream.forget()
    const flooded = ground.site()
    await using dripping = (await Crowd.gather(ground.cistern.url, 1000, hostile)).listen()
    await using sated = await Crowd.gather(ground.cistern.url, 200, '127.0.0.3')
    dripping.say('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Drip: ')
    const drip = setInterval(() => dripping.say('.'), 100)
    sated.say(getting(`/v2/${site.prefix}/${repository}/blobs/${big.digest}`))
    let flooding = true
    const flood = async () => {
      while (flooding) await ask(flooded.url(`${repository}/blobs/${randomDigest()}`), { from: '127.0.0.4' })
    }
    const floods = Array.from({ length: 8 }, flood)
    try {
      let pulls = 0
      while (dripping.closed < 1000 || pulls < 100) {
        expect(await pull()).toEqual(right)
        pulls++
      }
    } finally {
      flooding = false
      clearInterval(drip)
    }
    await Promise.all(floods)

    expect(dripping.statuses).toEqual({ 408: 1000 })
    expect(site.upstream.requests()).toEqual([])
    const cutOff = () => ground.cistern.logs.filter((line) => line.includes('"client":"127.0.0.3"'))
    await eventually(async () => expect(cutOff()).toHaveLength(200))
    expect(cutOff().every((line) => line.includes('too slow'))).toBe(true)
    expect(await pull()).toEqual(right)
  }, 60_000)

  it('D61: that say nothing are closed, all of them', async () => {
    const timeouts = { ...shortPatience, requestHead: '500ms' }
    await using ground = await Ground.start({ sites: 1, config: { timeouts } })
    await using idle = (await Crowd.gather(ground.cistern.url, 1000, hostile)).listen()
    await eventually(async () => expect(idle.closed).toBe(1000))
    expect((await ground.get('/v2/')).status).toBe(200)
  })

  it('D61: more than one client may have: the further ones are told so, everybody else is served', async () => {
    await using ground = await Ground.start({ sites: 1, config: { limits: { connectionsPerClient: 50 } } })
    const { pull, right } = await warm(ground)
    await using first = (await Crowd.gather(ground.cistern.url, 50, hostile)).listen().say(getting('/v2/'))
    await eventually(async () => expect(first.statuses).toEqual({ 200: 50 }))
    await using further = (await Crowd.gather(ground.cistern.url, 100, hostile)).listen().say(getting('/v2/'))
    await eventually(async () => expect(further.closed).toBe(100))
    expect(further.statuses).toEqual({ 503: 100 })
    expect(further.members[0]?.received).toMatch(/\r\nRetry-After: 1\r\n/)
    expect(further.members[0]?.received).toContain('"code":"UNAVAILABLE"')
    first.say(getting('/v2/none'))
    await eventually(async () => expect(first.members.every(({ received }) => / 404 /.test(received))).toBe(true))
    expect(await pull()).toEqual(right)

    first.leave()
    await eventually(async () => {
      const { status } = await ask(`${ground.cistern.url}/v2/`, { from: hostile })
      expect(status).toBe(200)
    })
  })

  it('E75: a request hidden in the body of another is never answered', async () => {
    await using ground = await Ground.start({ sites: 1 })
    const { site } = await warm(ground)
    await using connection = new RawConnection(portOf(ground))
    connection.send(hidden(`/v2/${site.prefix}/${repository}/manifests/hidden`))
    expect(await connection.response()).toMatchObject({ status: 405 })
    expect(await connection.rest()).toBe('')
    expect(site.upstream.requests()).toEqual([])
  })

  it('E76: a head without end is refused before it takes memory', async () => {
    await using ground = await Ground.start({ sites: 1 })
    await using endless = (await Crowd.gather(ground.cistern.url, 100, hostile)).listen()
    endless.say('GET /v2/ HTTP/1.1\r\nHost: x\r\n')
    await eventually(async () => {
      endless.say(`X-${'a'.repeat(500)}: ${'b'.repeat(500)}\r\n`)
      expect(endless.closed).toBe(100)
    })
    expect(endless.statuses).toEqual({ 431: 100 })
    expect((await ground.get('/v2/')).status).toBe(200)
  })
})

describe('floods', () => {
  const unknownPerMinute = 50

  /** Questions that a client may have asked since `startedAt`. */
  const budget = (startedAt: number) => Math.ceil(unknownPerMinute * (1 + (performance.now() - startedAt) / 60_000))

  async function flooded() {
    const ground = await Ground.start({ sites: 2, config: { limits: { unknownPerMinute } } })
    const { pull, right } = await warm(ground)
    return { ground, pull, right, site: ground.site() }
  }

  const question = (site: Site) => (number: number) => {
    const rest = number % 2 ? `blobs/${randomDigest()}` : `manifests/${randomBytes(8).toString('hex')}`
    return getting(`/v2/${site.prefix}/team/r${number}/${rest}`)
  }

  it('E78: five hundred questions at once: no more reach upstream than the budget has', async () => {
    const { ground, site, pull, right } = await flooded()
    await using _ = ground
    const startedAt = performance.now()
    await using crowd = (await Crowd.gather(ground.cistern.url, 500, hostile)).listen().say(question(site))
    await eventually(async () => expect(crowd.statuses).not.toHaveProperty('none'))
    expect(Object.keys(crowd.statuses)).toEqual(['404', '429'])
    expect(site.upstream.requests().length).toBeLessThanOrEqual(budget(startedAt))
    expect(await pull()).toEqual(right)
  })

  it('E78: clients that hang up before the answer: they pay all the same', async () => {
    const { ground, site, pull, right } = await flooded()
    await using _ = ground
    const startedAt = performance.now()
    const { promise, resolve: answer } = Promise.withResolvers<void>()
    site.upstream.fault('*', { until: promise })
    const log = () => ground.cistern.logs.filter((line) => line.includes(`"client":"${hostile}"`))
    await using leaving = await Crowd.gather(ground.cistern.url, unknownPerMinute, hostile)
    leaving.say(question(site))
    await site.upstream.seen(unknownPerMinute)
    leaving.leave()
    await eventually(async () => expect(log()).toHaveLength(unknownPerMinute))

    await using next = (await Crowd.gather(ground.cistern.url, 100, hostile)).listen().say(question(site))
    await eventually(async () => expect(next.statuses[429]).toBeGreaterThan(90))
    expect(site.upstream.requests().length).toBeLessThanOrEqual(budget(startedAt))
    answer()
    expect(await pull()).toEqual(right)
  })

  it('E78: ten thousand requests ahead on one connection: one of them is worked on, and the connection ends', async () => {
    const { ground, site, pull, right } = await flooded()
    await using _ = ground
    site.upstream.fault('*', { hang: true })
    await using ahead = (await Crowd.gather(ground.cistern.url, 1, hostile)).listen()
    ahead.say(Array.from({ length: 10_000 }, (_, number) => question(site)(number)).join(''))
    await eventually(async () => expect(ahead.closed).toBe(1))
    expect(site.upstream.requests().length).toBeLessThanOrEqual(1)
    expect(await pull()).toEqual(right)
  })

  it('E78: a crowd behind one address that asks for the same images is no flood', async () => {
    const { ground, site } = await flooded()
    await using _ = ground
    const pushed = site.upstream.addImage(repository, 'v1', image({ seed: 'E78 crowd', layers: [5000, 6000] }))
    const paths = [
      'manifests/v1',
      `manifests/${pushed.digest}`,
      ...pushed.layers.map(({ digest }) => `blobs/${digest}`),
    ]
    for (const path of paths) {
      const all = await Promise.all(
        Array.from({ length: 200 }, () => ask(site.url(`${repository}/${path}`), { from: hostile })),
      )
      expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]))
    }
  })

  it('F89: whom a client says it asks for changes nothing in what it may ask', async () => {
    const { ground, site } = await flooded()
    await using _ = ground
    const statuses: number[] = []
    for (let number = 0; number < unknownPerMinute + 20; number++) {
      const headers = {
        'x-forwarded-for': `192.0.2.${number}`,
        'x-real-ip': `192.0.2.${number}`,
        forwarded: `for=192.0.2.${number}`,
      }
      const got = await ask(site.url(`${repository}/manifests/none${number}`), { from: hostile, headers })
      statuses.push(told(got).status)
    }
    expect(statuses.at(-1)).toBe(429)
  })
})

describe('the cache', () => {
  it('E79: a client that pulls cold after cold: what is pinned and what is in use stay', async () => {
    await using ground = await Ground.start({
      sites: 3,
      rule: { pin: ['pinned/*'] },
      config: { cache: { maxSize: '40MiB', minFree: '0%' } },
    })
    const hot = await warm(ground, MiB)
    const pinned = ground.site()
    const kept = pinned.upstream.addImage('pinned/app', undefined, image({ seed: 'pinned', layers: [MiB] }))
    const paths = [`manifests/${kept.digest}`, `blobs/${kept.layers[0]?.digest}`]
    for (const path of paths) await pinned.get(`pinned/app/${path}`)
    await ground.keeps(kept.layers[0]?.digest ?? '')
    pinned.upstream.forget()
    const cold = ground.site()
    for (let number = 0; number < 10; number++) {
      const bait = cold.upstream.addImage(
        `cold/${number}`,
        undefined,
        image({ seed: `cold ${number}`, layers: [12 * MiB] }),
      )
      for (const path of [`manifests/${bait.digest}`, `blobs/${bait.layers[0]?.digest}`]) {
        expect((await ask(cold.url(`cold/${number}/${path}`), { from: hostile })).status).toBe(200)
      }
      expect(await hot.pull()).toEqual(hot.right)
    }

    for (const path of paths) expect((await pinned.get(`pinned/app/${path}`)).status).toBe(200)
    expect(pinned.upstream.requests()).toEqual([])
    expect(hot.site.upstream.requests()).toEqual([])
    expect(await ground.metrics()).toMatch(/\ncistern_evictions_total [1-9]/)
  })
})
