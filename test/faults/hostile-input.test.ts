import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { image } from '../support/faulty-upstream.ts'
import { ask, codeOf, told } from './client.ts'
import { Ground, type Site } from './ground.ts'
import { Wire } from './wire.ts'

const repository = 'team/app'
const unknownPerMinute = 40

let ground: Ground
let wire: Wire

beforeAll(async () => {
  ground = await Ground.start({ sites: 6, config: { limits: { unknownPerMinute } } })
  wire = new Wire(ground.cistern.url)
})

afterAll(() => ground[Symbol.asyncDispose]())

describe('heads of requests', () => {
  it('E74: who they say they talk to, or for, changes nothing in the answer', async () => {
    const site = ground.site()
    for (const tag of ['a', 'b', 'c']) site.upstream.addImage(repository, tag, image())
    const path = `/v2/${site.prefix}/${repository}/tags/list?n=1`
    const forwarded = [
      'X-Forwarded-Host: evil.test',
      'X-Forwarded-Proto: https',
      'X-Forwarded-For: 6.6.6.6',
      'Forwarded: for=6.6.6.6;host=evil.test',
    ]
    const got = await wire.send([`GET ${path} HTTP/1.1`, 'Host: evil.test', ...forwarded, '', ''].join('\r\n'))
    expect(got.headers.get('link')).toMatch(/^<\/v2\//)
    const absolute = await wire.get(`http://evil.test${path}`)
    const twice = await wire.get(path, 'Host: evil.test')
    expect([absolute.status, twice.status]).toEqual([400, 400])
    const root = await wire.send('GET /v2/ HTTP/1.1\r\nHost: evil.test\r\n\r\n')
    for (const { headers, body } of [got, absolute, twice, root]) {
      expect(JSON.stringify([...headers]) + body).not.toMatch(/evil|6\.6\.6\.6/)
    }
    expect(ground.cistern.logs.join()).not.toContain('"client":"6.6.6.6"')
  })

  it.each([
    ['two ways to tell a length', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello'],
    ['a folded line', 'X-A: b\r\n c: d\r\n\r\n'],
    ['a space before the colon', 'X-A : b\r\n\r\n'],
  ])('E75: %s: 400, and the connection ends', async (_, rest) => {
    await using connection = wire.connect()
    connection.send(`GET /v2/ HTTP/1.1\r\nHost: x\r\n${rest}GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect(await connection.response()).toMatchObject({ status: 400 })
    expect(await connection.rest()).toBe('')
  })

  it('E75: bare line feeds: 400, and the connection ends', async () => {
    await using connection = wire.connect()
    connection.send('GET /v2/ HTTP/1.1\nHost: x\n\n')
    expect(await connection.response()).toMatchObject({ status: 400 })
    expect(await connection.rest()).toBe('')
  })

  it('E76: long, many and odd ones are refused or taken, and the process lives', async () => {
    expect([400, 431]).toContain((await wire.get(`/v2/${'a'.repeat(20_000)}`)).status)
    expect((await wire.get('/v2/', `X-Long: ${'a'.repeat(20_000)}`)).status).toBe(431)
    const many = Array.from({ length: 2000 }, (_, number) => `X-${number}: 1`)
    expect([200, 431]).toContain((await wire.get('/v2/', ...many)).status)
    const odd = await wire.get('/v2/', '__proto__: x', 'constructor: y', 'hasOwnProperty: z')
    expect(odd).toMatchObject({ status: 200, complete: true })
    expect((await ground.get('/v2/')).status).toBe(200)
  })

  it('E80: control characters stay out of the log', async () => {
    const site = ground.site()
    const evil = `\x1b[31mred\x1b[0m ${'A'.repeat(5000)}`
    site.upstream.fault('manifest', { status: 500, body: evil, headers: { 'content-type': 'text/plain' } })
    await wire.get(`/v2/${site.prefix}/${repository}/manifests/v1`, `User-Agent: E80 \x9b31m ${'A'.repeat(5000)}`)
    await wire.get(`/v2/${site.prefix}/${repository}/manifests/v1`, `User-Agent: E80 ${evil}`)
    await wire.get(`/v2/${site.prefix}/\x1b[31m/manifests/v1`)
    const got = await site.manifest(repository, 'v1', { headers: { 'user-agent': 'E80 {"level":"error"}\\' } })
    expect(got.body.toString()).not.toContain('AAAA')
    const lines = ground.cistern.logs.filter((line) => line !== '')
    expect(lines.join('')).toContain('E80')
    for (const line of lines) {
      expect(line).toMatch(/^[\x20-\x7e\u00a0-\u2027\u202a-\uffff]*$/)
      expect(line.length).toBeLessThan(8000)
      expect(() => JSON.parse(line)).not.toThrow()
    }
  })
})

describe('lists and floods', () => {
  it.each(['1000000000', '99999999999999999999', '1e9', '-1'])('E77: a catalog of %s entries', async (n) => {
    const got = await ground.get(`/v2/_catalog?n=${n}`)
    expect([200, 400]).toContain(got.status)
    if (got.status === 200) expect(JSON.parse(got.body.toString()).repositories.length).toBeLessThanOrEqual(10_000)
    else expect(codeOf(got)).toBe('UNSUPPORTED')
  })

  it('E78: a flood of names that do not exist: that client is held off, upstream and others are spared', async () => {
    const site = ground.site()
    const pushed = site.upstream.addImage(repository, 'v1', image({ seed: 'E78' }))
    await site.manifest(repository, 'v1')
    await site.manifest(repository, pushed.digest)
    site.upstream.forget()
    const flood = await Promise.all(
      Array.from({ length: 300 }, (_, number) => ask(site.url(unknownNumber(number)), { from: '127.0.0.2' })),
    )

    expect(new Set(flood.map(({ status }) => status))).toEqual(new Set([404, 429]))
    expect(site.upstream.requests().length).toBeLessThan(unknownPerMinute + 10)
    for (const got of flood.filter(({ status }) => status === 429)) {
      expect(codeOf(got)).toBe('TOOMANYREQUESTS')
      expect(Number(got.headers['retry-after'])).toBeGreaterThan(0)
    }
    const asked = site.upstream.requests().length
    const more = await ask(site.url(unknownNumber(1)), { from: '127.0.0.2' })
    expect(more.status).toBe(429)
    expect(site.upstream.requests()).toHaveLength(asked)
    expect((await site.manifest(repository, pushed.digest, { from: '127.0.0.2' })).status).toBe(200)
    expect((await site.blob(repository, pushed.config.digest)).status).toBe(200)
  })
})

const unknownNumber = (number: number): string => {
  const kinds = [
    `${repository}/manifests/t${number}`,
    `${repository}/blobs/sha256:${randomBytes(32).toString('hex')}`,
    `r${number}/x/manifests/v1`,
  ]
  return kinds[number % 3] ?? ''
}

describe('what goes out', () => {
  const meddling = {
    'set-cookie': 'session=evil',
    'access-control-allow-origin': '*',
    'strict-transport-security': 'max-age=1',
    'x-powered-by': 'evil',
    via: '1.1 evil',
    'content-disposition': 'attachment; filename=evil.exe',
    server: 'evil',
  }

  it('E81: nothing of what upstream says around its content', async () => {
    const site: Site = ground.site()
    const pushed = site.upstream.addImage(repository, 'v1', image({ seed: 'E81' }))
    site.upstream.fault('*', { headers: meddling })
    site.upstream.fault('blob', { headers: { 'content-type': 'text/html' } })
    const found = [await site.manifest(repository, 'v1'), await site.blob(repository, pushed.config.digest)]
    expect(found.map(({ status }) => status)).toEqual([200, 200])
    expect(found[1]?.headers['content-type']).toBe('application/octet-stream')
    site.upstream.fault('*', { status: 404, body: '<script>evil()</script>', headers: { 'content-type': 'text/html' } })
    const missing = await site.blob(repository, pushed.layers[0]?.digest ?? '')
    expect(told(missing)).toEqual({ status: 404, code: 'BLOB_UNKNOWN' })
    for (const { headers, body } of [...found, missing]) {
      expect(JSON.stringify(headers)).not.toContain('evil')
      for (const name of Object.keys(meddling)) expect(headers[name]).toBeUndefined()
      expect(headers['x-content-type-options']).toBe('nosniff')
      expect(body.toString()).not.toContain('evil')
    }
  })

  it('E82: neither metrics nor probes on the data port, no data on the other', async () => {
    for (const path of ['/metrics', '/admin', '/livez', '/readyz', '/startupz', '/debug/pprof', '/']) {
      expect([path, (await ground.get(path)).status]).toEqual([path, 404])
    }
    const admin = (path: string, method = 'GET') => ask(`${ground.cistern.adminUrl}${path}`, { method })
    expect((await admin('/readyz')).status).toBe(200)
    expect((await admin('/v2/')).status).toBe(404)
    for (const method of ['POST', 'PUT', 'DELETE']) expect((await admin('/metrics', method)).status).toBe(405)
  })
})
