import { createServer } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { subscribe } from '../../src/telemetry/events.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { bytesOf, digestOfBody, TestCredentials, upstreamTo } from '../support/faulty-rule.ts'
import { type Fault, image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'
const size = 1_000_000
const timeouts = { connectMs: 500, headersMs: 300, idleMs: 300 }
const unavailable = { kind: 'unavailable' }

describe('a body that breaks', () => {
  const breaks: [string, Fault][] = [
    ['A6: stalls', { stallAfter: 400_000 }],
    ['A7: is reset', { resetAfter: 400_000 }],
    ['A7: is reset, chunked', { resetAfter: 400_000, framing: 'chunked' }],
    ['A8: is cut, close-delimited', { resetAfter: 400_000, framing: 'close' }],
    ['A8: ends early, close-delimited', { endAfter: 400_000, framing: 'close' }],
    ['A7: ends early', { endAfter: 400_000 }],
    ['A12: breaks, and the resume is answered 200', { resetAfter: 400_000, ignoreRange: true }],
  ]

  it.each(breaks)('%s: is resumed unseen', async (_, fault) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(size))
    const resumed: number[] = []
    const end = subscribe('cistern:fill', ({ phase, digest, bytes }) => {
      if (phase === 'resumed' && digest === blob.digest) resumed.push(bytes)
    })
    remote.fault('blob', { method: 'GET', times: 1, ...fault })
    if (fault.ignoreRange) remote.fault('blob', { ignoreRange: true })
    const { body } = await upstream.blob(repository, blob.digest)
    expect(await digestOfBody(body)).toBe(blob.digest)
    end()
    const [first, second, ...rest] = remote.requests('GET', 'blob')
    expect(rest).toHaveLength(0)
    expect(first?.headers.range).toBeUndefined()
    expect(second?.headers.range).toBe(`bytes=${resumed[0]}-${size - 1}`)
    expect(resumed[0]).toBeLessThanOrEqual(400_000)
  })

  it('A17: one byte at a time counts as stalled', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(10_000))
    remote.fault('blob', { times: 1, dripBytes: 1, dripMs: 5 })
    const { body } = await upstream.blob(repository, blob.digest)
    expect(await digestOfBody(body)).toBe(blob.digest)
    expect(remote.requests('GET', 'blob')).toHaveLength(2)
  })

  it('is resumed within the range that was asked for', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(size))
    remote.fault('blob', { times: 1, resetAfter: 1000 })
    const { body } = await upstream.blob(repository, blob.digest, { range: { start: 500, end: 99_999 } })
    expect(await bytesOf(body)).toEqual(blob.slice(500, 100_000))
    expect(remote.requests('GET', 'blob')[1]?.headers.range).toMatch(/^bytes=\d+-99999$/)
  })

  it('goes on however often it breaks, as long as it gets on', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(size))
    remote.fault('blob', { endAfter: 100_000 })
    const { body } = await upstream.blob(repository, blob.digest)
    expect(await digestOfBody(body)).toBe(blob.digest)
    expect(remote.requests('GET', 'blob')).toHaveLength(10)
  })

  it('is given up after a few tries that bring nothing, and what was sent is a true prefix', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(size))
    remote.fault('blob', { times: 1, endAfter: 100_000 })
    remote.fault('blob', { after: 1, reset: true })
    const { body } = await upstream.blob(repository, blob.digest)
    const sent: Buffer[] = []
    const sending = body.sendTo({ write: (chunk) => void sent.push(Buffer.from(chunk)) })
    await expect(sending).rejects.toMatchObject(unavailable)
    expect(Buffer.concat(sent)).toEqual(blob.slice(0, 100_000))
    expect(remote.requests('GET', 'blob').length).toBeLessThan(25)
  })

  it.each([
    ['another start', { contentRange: `bytes 0-${size - 1}/${size}` }],
    ['another total', { contentRange: `bytes 400000-${size - 1}/${size + 7}` }],
    ['no Content-Range', { contentRange: null }],
  ])('A13: a resume with %s is corrupt, and nothing of it is sent', async (_, fault) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(size))
    remote.fault('blob', { times: 1, endAfter: 400_000 })
    remote.fault('blob', { after: 1, ...fault })
    const { body } = await upstream.blob(repository, blob.digest)
    const sent: Buffer[] = []
    const sending = body.sendTo({ write: (chunk) => void sent.push(Buffer.from(chunk)) })
    await expect(sending).rejects.toMatchObject({ kind: 'corrupt' })
    expect(Buffer.concat(sent)).toEqual(blob.slice(0, 400_000))
  })

  it('A10: more bytes than declared are cut off, and the next request gets its own answer', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(size))
    for (const framing of ['length', 'chunked'] as const) {
      remote.fault('blob', { method: 'GET', times: 1, surplus: 5000, framing })
      const { body } = await upstream.blob(repository, blob.digest)
      expect(await bytesOf(body)).toEqual(blob.bytes())
      expect((await upstream.stat(repository, blob.digest)).size).toBe(size)
    }
  })

  it('A14: an unsolicited second answer reaches nobody', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(1000))
    const nginx = remote.addImage(repository, 'latest', image())
    const evil = 'HTTP/1.1 200 OK\r\ncontent-type: application/vnd.x+json\r\ncontent-length: 2\r\n\r\n{}'
    remote.fault('blob', { times: 1, unsolicited: evil })
    await bytesOf((await upstream.blob(repository, blob.digest)).body)
    expect((await upstream.manifest({ repository, tag: 'latest' })).descriptor).toEqual(nginx.descriptor)
  })

  it('A15: bytes are passed on raw whatever Content-Encoding says', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(1000))
    remote.fault('blob', { headers: { 'content-encoding': 'gzip' } })
    expect(await bytesOf((await upstream.blob(repository, blob.digest)).body)).toEqual(blob.bytes())
  })

  it('an error of the sink ends the transfer and is rethrown', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(64 * 1024 * 1024))
    const { body } = await upstream.blob(repository, blob.digest)
    const full = new Error('the disk is full')
    await expect(body.sendTo({ write: () => Promise.reject(full) })).rejects.toBe(full)
    expect(remote.requests('GET', 'blob')).toHaveLength(1)
  })

  it('an abort ends it at once with the reason, in the body and while it waits to resume', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts: { ...timeouts, idleMs: 60_000 } })
    const blob = remote.addBlob(repository, randomBlob(size))
    remote.fault('blob', { stallAfter: 1000 })
    const { body } = await upstream.blob(repository, blob.digest)
    const leaving = new AbortController()
    const reason = new Error('the client left')
    const sending = body.sendTo({ write: () => leaving.abort(reason) }, leaving.signal)
    await expect(sending).rejects.toBe(reason)
    const again = await upstream.blob(repository, blob.digest)
    await again.body[Symbol.asyncDispose]()
    expect(remote.requests('GET', 'blob')).toHaveLength(2)
  })

  it('disposal in mid-transfer breaks it and resumes nothing', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const blob = remote.addBlob(repository, randomBlob(size))
    const { body } = await upstream.blob(repository, blob.digest)
    let writes = 0
    const sending = body.sendTo({
      write: async () => {
        writes++
        for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate) // more of it arrives
        await body[Symbol.asyncDispose]()
      },
    })
    await expect(sending).rejects.toMatchObject(unavailable)
    expect(writes).toBe(1)
    expect(remote.requests('GET', 'blob')).toHaveLength(1)
  })
})

describe('an upstream that cannot be reached', () => {
  const tag = { repository, tag: 'latest' }

  it('A2: whose name does not resolve is unavailable', async () => {
    await using upstream = upstreamTo('http://registry.invalid')
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ ...unavailable, timedOut: false })
  })

  it('A3: that refuses connections is unavailable; after some failures it is left alone, then probed by one', async () => {
    await using remote = await startUpstream()
    remote.addImage(repository, 'latest', image())
    let now = 0
    const states: string[] = []
    const end = subscribe('cistern:breaker', ({ upstream, state }) => upstream === remote.host && states.push(state))
    const breaker = { threshold: 3, openMs: 1000 }
    await using upstream = upstreamTo(remote.url, { timeouts, breaker, now: () => now })
    await remote.goDown()
    for (let failure = 0; failure < 3; failure++) await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    expect(states).toEqual(['open'])
    await remote.comeUp()
    await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    expect(remote.requests()).toHaveLength(0)
    now = 1000
    const gate = Promise.withResolvers<void>()
    remote.fault('manifest', { until: gate.promise, times: 1 })
    const probe = upstream.resolve(tag)
    await remote.seen(1)
    await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    gate.resolve()
    await probe
    await upstream.resolve(tag)
    expect(remote.requests()).toHaveLength(2)
    expect(states).toEqual(['open', 'half-open', 'closed'])
    end()
  })

  it('A3: a probe that its caller gave up leaves the next one to try', async () => {
    await using remote = await startUpstream()
    remote.addImage(repository, 'latest', image())
    let now = 0
    await using upstream = upstreamTo(remote.url, { timeouts, breaker: { threshold: 1, openMs: 1000 }, now: () => now })
    await remote.goDown()
    await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    await remote.comeUp()
    now = 1000
    remote.fault('manifest', { hang: true, times: 1 })
    const leaving = new AbortController()
    const probe = upstream.resolve(tag, { signal: leaving.signal })
    await remote.seen(1)
    leaving.abort()
    await expect(probe).rejects.toBe(leaving.signal.reason)
    await upstream.resolve(tag)
  })

  it('A5: that accepts and says nothing timed out', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    remote.addImage(repository, 'latest', image())
    remote.fault('*', { hang: true })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ ...unavailable, timedOut: true })
    expect(remote.requests()).toHaveLength(1)
  })

  it('A5: the signal of the pull ends the wait: its time-out is ours, another reason the caller’s', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.fault('*', { hang: true })
    const late = upstream.resolve(tag, { signal: AbortSignal.timeout(50) })
    await expect(late).rejects.toMatchObject({ ...unavailable, timedOut: true })
    const leaving = new AbortController()
    const left = upstream.resolve(tag, { signal: leaving.signal })
    await remote.seen(2)
    const reason = new Error('left')
    leaving.abort(reason)
    await expect(left).rejects.toBe(reason)
    await expect(upstream.resolve(tag, { signal: leaving.signal })).rejects.toBe(reason)
  })

  it('a kept connection that was closed meanwhile is not held against upstream', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    const nginx = remote.addImage(repository, 'latest', image())
    remote.fault('manifest', { times: 1, reset: true })
    expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
  })

  it('A16: contradicting lengths are refused', async () => {
    const answers = [
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'nonsense\r\n\r\n',
    ]
    for (const raw of answers) {
      await using remote = await startUpstream()
      await using upstream = upstreamTo(remote.url, { timeouts })
      remote.fault('*', { raw })
      await expect(upstream.manifest(tag)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    }
  })

  it('A4: whose certificate nobody vouches for, or is over, or is for another, gets nothing; `ca` adds to trust', async () => {
    const own = selfSigned()
    const known = selfSigned()
    const defaults = getCACertificates('default')
    setDefaultCACertificates([known.cert])
    const credentials = new TestCredentials('user', 'canary')
    for (const [tls, ca, ok] of [
      [known, own.cert, true],
      [own, undefined, false],
      [own, own.cert, true],
      [own, selfSigned().cert, false],
      ...[selfSigned({ expired: true }), selfSigned({ ip: [127, 0, 0, 2] })].map(
        (bad) => [bad, bad.cert, false] as const,
      ),
    ] as const) {
      await using remote = await startUpstream({ tls })
      await using upstream = upstreamTo(remote.url, { timeouts, credentials, changes: ca ? { ca } : {} })
      const nginx = remote.addImage(repository, 'latest', image())
      if (ok) expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
      else await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
      expect(remote.requests()).toHaveLength(ok ? 1 : 0)
    }
    setDefaultCACertificates(defaults)
  })

  it('keeps what upstream sent out of errors', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts })
    remote.fault('*', { raw: 'HTTP/1.1 200 OK\r\nx: canary\r\n: canary\r\n\r\n' })
    const error = await upstream.manifest(tag).catch((caught: unknown) => caught)
    const { inspect } = await import('node:util')
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('canary')
  })

  it('requests go through the proxy that is set, and not for the hosts that are left out', async () => {
    await using remote = await startUpstream()
    remote.addImage(repository, 'latest', image())
    const seen: string[] = []
    const proxy = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', (head) => {
        seen.push(head.toString().split('\r\n', 1)[0] ?? '')
        socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n')
      })
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const address = proxy.address()
    const httpProxy = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
    try {
      await using through = upstreamTo('http://registry.test', { timeouts, proxy: { httpProxy } })
      await expect(through.resolve(tag)).rejects.toMatchObject({ kind: 'unknown' })
      expect(seen).toEqual([`HEAD http://registry.test/v2/${repository}/manifests/latest HTTP/1.1`])
      await using direct = upstreamTo(remote.url, { timeouts, proxy: { httpProxy, noProxy: '127.0.0.1' } })
      await direct.resolve(tag)
      expect(seen).toHaveLength(1)
    } finally {
      proxy.close()
    }
  })
})
