import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { corrupt, isKind, type Kind, throttled, unavailable } from '../../src/oci/errors.ts'
import type { Registry, Sink } from '../../src/oci/registry.ts'
import { collect } from '../support/collect.ts'
import { eventually } from '../support/eventually.ts'
import { given } from './given.ts'
import { ScriptedRegistry } from './scripted-registry.ts'

const large = randomBytes(5 * 1024 * 1024 + 17)
const small = randomBytes(1000)
const repository = 'hub/app'

const kind = (expected: Kind) => (error: unknown) => isKind(error, expected)

async function read(registry: Registry, digest: Digest, from = repository) {
  const { body, outcome } = await registry.blob(from, digest)
  return { bytes: await collect(body), outcome }
}

/** Sends the first `length` bytes, then waits until told to go on. */
function halfway(length: number) {
  const reached = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const sending = async (bytes: Uint8Array, sink: Sink, signal: AbortSignal) => {
    await sink.write(bytes.subarray(0, length))
    reached.resolve()
    await go.promise
    signal.throwIfAborted()
    await sink.write(bytes.subarray(length))
  }
  return { sending, reached: reached.promise, go: () => go.resolve() }
}

describe('a blob', () => {
  it.each([
    ['larger than a batch', large],
    ['smaller than a batch', small],
    ['empty', Buffer.alloc(0)],
  ])('%s is fetched once and served from the store from then on', async (_, bytes) => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', bytes)
    const first = await read(registry, digest)
    expect(first.bytes.equals(bytes)).toBe(true)
    expect(first.outcome?.cache).toBe('miss')
    const second = await eventually(async () => {
      const again = await read(registry, digest)
      expect(again.outcome?.cache).toBe('hit')
      return again
    })
    expect(second.bytes.equals(bytes)).toBe(true)
    expect(upstream.calls).toHaveLength(1)
  })

  it('B42: with a sha512 digest is served as any other', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large, 'sha512')
    expect((await read(registry, digest)).bytes.equals(large)).toBe(true)
  })

  it('is fetched once for any number of clients that ask at the same time', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const all = await Promise.all(Array.from({ length: 50 }, () => read(registry, digest)))
    expect(all.every(({ bytes }) => bytes.equals(large))).toBe(true)
    expect(all.filter(({ outcome }) => outcome?.cache === 'collapsed')).toHaveLength(49)
    expect(upstream.calls).toHaveLength(1)
  })

  it('is read from its first byte by one who joins in the middle, with no question to upstream', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const half = halfway(3 * 1024 * 1024)
    upstream.sending = half.sending
    const first = read(registry, digest)
    await half.reached
    const second = read(registry, digest)
    half.go()
    expect((await first).bytes.equals(large)).toBe(true)
    expect((await second).bytes.equals(large)).toBe(true)
    expect(upstream.calls).toHaveLength(1)
  })

  it('reaches a client as it arrives, all but its last byte', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const almost = halfway(large.length - 1)
    upstream.sending = almost.sending
    const { body } = await registry.blob(repository, digest)
    let got = 0
    const reading = body.sendTo({
      write: (chunk) => {
        got += chunk.length
      },
    })
    await eventually(async () => expect(got).toBe(large.length - 1))
    almost.go()
    await reading
    expect(got).toBe(large.length)
  })

  it('A9: with wrong bytes of the right length breaks off before its last byte and is not stored', async () => {
    const { cache, upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    upstream.sending = async (bytes, sink) => {
      const wrong = Buffer.from(bytes)
      wrong[100] = (wrong[100] ?? 0) ^ 1
      await sink.write(wrong)
    }
    const { body } = await registry.blob(repository, digest)
    let got = 0
    const reading = body.sendTo({
      write: (chunk) => {
        got += chunk.length
      },
    })
    await expect(reading).rejects.toSatisfy(kind('corrupt'))
    expect(got).toBeLessThan(large.length)
    expect(await cache.blobs.stat(digest)).toBeUndefined()
    await eventually(async () => expect(cache.fills.size).toBe(0))
    upstream.sending = (bytes, sink) => Promise.resolve(sink.write(bytes))
    expect((await read(registry, digest)).bytes.equals(large)).toBe(true)
  })

  it('A9: of no more than 1 MiB is refused before its headers', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', randomBytes(1024 * 1024))
    upstream.sending = async (bytes, sink) => sink.write(Buffer.alloc(bytes.length))
    await expect(registry.blob(repository, digest)).rejects.toSatisfy(kind('corrupt'))
  })

  it('A10: of more bytes than declared is never passed on', async () => {
    const { cache, upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    upstream.sending = async (bytes, sink) => sink.write(Buffer.concat([bytes, Buffer.from('more')]))
    await expect(read(registry, digest)).rejects.toSatisfy(kind('corrupt'))
    expect(await cache.blobs.stat(digest)).toBeUndefined()
  })

  it('A6: broken off by upstream is taken up where it ended, by the next request', async () => {
    const { cache, upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    upstream.sending = async (bytes, sink) => {
      await sink.write(bytes.subarray(0, 3 * 1024 * 1024))
      throw unavailable('gone')
    }
    await expect(read(registry, digest)).rejects.toSatisfy(kind('unavailable'))
    expect(await cache.blobs.stat(digest)).toBeUndefined()
    await eventually(async () => expect(cache.fills.size).toBe(0))
    upstream.sending = (bytes, sink) => Promise.resolve(sink.write(bytes))
    expect((await read(registry, digest)).bytes.equals(large)).toBe(true)
    expect(upstream.calls.map(({ start }) => start)).toEqual([0, 3 * 1024 * 1024])
  })

  it('D57: goes on arriving when its client has left', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const half = halfway(2 * 1024 * 1024)
    upstream.sending = half.sending
    const client = new AbortController()
    const { body } = await registry.blob(repository, digest, { signal: client.signal })
    const reading = body.sendTo({ write: () => {} }, client.signal)
    await half.reached
    client.abort(new Error('left'))
    await expect(reading).rejects.toThrow('left')
    await body[Symbol.asyncDispose]()
    half.go()
    await eventually(async () => expect((await registry.blob(repository, digest)).outcome?.cache).toBe('hit'))
    expect(upstream.calls).toHaveLength(1)
  })

  it('D58: reaches all others when the first of many leaves before upstream answered', async () => {
    const { cache, upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const client = new AbortController()
    const first = registry.blob(repository, digest, { signal: client.signal })
    const others = Array.from({ length: 5 }, () => read(registry, digest))
    client.abort(new Error('left'))
    await expect(first).rejects.toThrow('left')
    gate.resolve()
    for (const { bytes } of await Promise.all(others)) expect(bytes.equals(large)).toBe(true)
    expect(upstream.calls).toHaveLength(1)
    await eventually(async () => expect(cache.fills.size).toBe(0))
  })

  it('D60: arrives at full speed however slow the one who asked first', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const slow = await registry.blob(repository, digest)
    const stuck = Promise.withResolvers<void>()
    const reading = slow.body.sendTo({ write: () => stuck.promise })
    expect((await read(registry, digest)).bytes.equals(large)).toBe(true)
    stuck.resolve()
    await reading
  })

  it('F84: is shown to another repository only once upstream says that it has it, cold or stored', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('private', large)
    await read(registry, digest, 'hub/private')
    await expect(registry.blob('hub/public', digest)).rejects.toSatisfy(kind('unknown'))
    await expect(registry.stat('hub/public', digest)).rejects.toSatisfy(kind('unknown'))
    upstream.addBlob('other', large)
    expect((await read(registry, digest, 'hub/other')).outcome?.cache).toBe('revalidated')
    expect((await read(registry, digest, 'hub/other')).outcome?.cache).toBe('hit')
    expect(upstream.count('blob')).toBe(1)
  })

  it('F85: in flight is joined from another repository only once upstream says that it has it', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('private', large)
    upstream.addBlob('other', large)
    const half = halfway(1024)
    upstream.sending = half.sending
    const first = read(registry, digest, 'hub/private')
    await half.reached
    await expect(registry.blob('hub/public', digest)).rejects.toSatisfy(kind('unknown'))
    const joined = read(registry, digest, 'hub/other')
    half.go()
    expect((await joined).bytes.equals(large)).toBe(true)
    expect((await first).bytes.equals(large)).toBe(true)
    expect(upstream.count('blob')).toBe(1)
  })

  it('is fetched for its own repository when the one who asked first was refused', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const refused = registry.blob('hub/none', digest)
    const served = read(registry, digest)
    gate.resolve()
    await expect(refused).rejects.toSatisfy(kind('unknown'))
    expect((await served).bytes.equals(large)).toBe(true)
  })

  it('B27: refused by the rate limit is refused to all who wait, after one question', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    upstream.failure = throttled('slow down', { retryAfterMs: 5000 })
    const all = await Promise.allSettled([1, 2, 3].map(() => registry.blob(repository, digest)))
    for (const result of all) {
      expect(result).toMatchObject({ status: 'rejected', reason: { kind: 'throttled', retryAfterMs: 5000 } })
    }
    expect(upstream.calls).toHaveLength(1)
  })

  it('is asked for where upstream has no manifest of that digest', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', small)
    await expect(registry.manifest({ repository, digest })).rejects.toSatisfy(kind('unknown'))
    await expect(registry.resolve({ repository, digest })).rejects.toSatisfy(kind('unknown'))
    expect((await read(registry, digest)).bytes.equals(small)).toBe(true)
  })

  it('under way for a rule that led elsewhere before is no proof of what its new upstream has', async () => {
    const { upstream, registry, open } = given()
    const digest = upstream.addBlob('app', large)
    const half = halfway(1024)
    upstream.sending = half.sending
    const first = read(registry, digest)
    await half.reached
    const now = new ScriptedRegistry()
    await expect(open(now, { upstream: 'https://other.test' }).blob(repository, digest)).rejects.toSatisfy(
      kind('unknown'),
    )
    expect(now.calls).toHaveLength(1)
    half.go()
    expect((await first).bytes.equals(large)).toBe(true)
  })

  it('under way from one upstream keeps nobody waiting who asks another', async () => {
    const { upstream, registry, open } = given()
    const digest = upstream.addBlob('app', large)
    const half = halfway(1024)
    upstream.sending = half.sending
    const first = read(registry, digest)
    await half.reached
    const other = new ScriptedRegistry()
    other.addBlob('app', large)
    const second = await read(open(other, { upstream: 'https://other.test' }), digest)
    expect(second.bytes.equals(large)).toBe(true)
    half.go()
    expect((await first).bytes.equals(large)).toBe(true)
  })

  it('B30: unknown upstream is asked for again only after the negative TTL of its rule', async () => {
    const { upstream, registry } = given({ negativeTtlMs: 60_000 })
    const digest = digestOf(Buffer.from('none'))
    await expect(registry.blob(repository, digest)).rejects.toSatisfy(kind('unknown'))
    await expect(registry.blob(repository, digest)).rejects.toSatisfy(kind('unknown'))
    await expect(registry.stat(repository, digest)).rejects.toSatisfy(kind('unknown'))
    expect(upstream.calls).toHaveLength(1)
    const impatient = given({ negativeTtlMs: 0 })
    await expect(impatient.registry.blob(repository, digest)).rejects.toSatisfy(kind('unknown'))
    impatient.upstream.addBlob('app', Buffer.from('none'))
    expect((await read(impatient.registry, digest)).bytes.toString()).toBe('none')
  })

  it('D65: asked for by HEAD starts no transfer', async () => {
    const { cache, upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    expect((await registry.stat(repository, digest)).size).toBe(large.length)
    expect(upstream.calls.map(({ method }) => method)).toEqual(['stat'])
    expect(cache.fills.size).toBe(0)
  })

  it('is not asked of upstream for a client that used up its questions', async () => {
    const { upstream, registry } = given()
    const admit = () => {
      throw throttled('too many')
    }
    await expect(registry.blob(repository, digestOf(small), { admit })).rejects.toSatisfy(kind('throttled'))
    const digest = upstream.addBlob('app', small)
    await read(registry, digest)
    const { body } = await eventually(() => registry.blob(repository, digest, { admit }))
    expect((await collect(body)).equals(small)).toBe(true)
  })

  it('of another size on disk than upstream stated is fetched again', async () => {
    const blobs = new MemoryStore()
    const { cache, upstream, registry } = given({}, { blobs })
    const digest = upstream.addBlob('app', large)
    await read(registry, digest)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    const open = blobs.open.bind(blobs)
    blobs.open = async (asked) => {
      const blob = await open(asked)
      return blob && { size: 3, storedAt: 0, body: (range) => blob.body(range), [Symbol.asyncDispose]: async () => {} }
    }
    expect((await read(registry, digest)).outcome?.cache).toBe('miss')
  })

  it('is served without an upstream once it is stored, and unknown before', async () => {
    const { cache, upstream, registry, offline } = given()
    const digest = upstream.addBlob('app', large)
    await expect(offline().blob(repository, digest)).rejects.toSatisfy(kind('unknown'))
    await read(registry, digest)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    expect((await read(offline(), digest)).bytes.equals(large)).toBe(true)
    await expect(offline().blob('hub/other', digest)).rejects.toSatisfy(kind('unknown'))
  })

  it('is not shown by a link that another upstream vouched for', async () => {
    const { cache, upstream, registry, open } = given()
    const digest = upstream.addBlob('app', large)
    await read(registry, digest)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    const moved = open(undefined, { upstream: 'https://elsewhere.test' })
    upstream.failure = corrupt('would be asked')
    await expect(moved.blob(repository, digest)).rejects.toSatisfy(kind('corrupt'))
  })
})

describe('a range', () => {
  const range = async (registry: Registry, digest: Digest, spec: Parameters<Registry['blob']>[2]) => {
    const read = await registry.blob(repository, digest, spec)
    return { ...read, bytes: await collect(read.body) }
  }

  it.each([
    [{ start: 10, end: 19 }, 10, 20],
    [{ start: large.length - 5 }, large.length - 5, large.length],
    [{ suffix: 7 }, large.length - 7, large.length],
    [{ start: 0, end: 2 ** 40 }, 0, large.length],
  ])('%o of a cold blob and of a stored one holds the right bytes, after one transfer', async (spec, from, to) => {
    const { cache, upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const cold = await range(registry, digest, { range: spec })
    expect(cold.bytes.equals(large.subarray(from, to))).toBe(true)
    expect(cold.range).toEqual({ start: from, end: to - 1 })
    await eventually(async () => expect(cache.fills.size).toBe(0))
    const warm = await range(registry, digest, { range: spec })
    expect(warm.bytes.equals(large.subarray(from, to))).toBe(true)
    expect(upstream.calls).toHaveLength(1)
  })

  it('is answered as soon as its bytes are there', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const half = halfway(100_000)
    upstream.sending = half.sending
    const { bytes } = await range(registry, digest, { range: { start: 50_000, end: 99_999 } })
    expect(bytes.equals(large.subarray(50_000, 100_000))).toBe(true)
    half.go()
  })

  it('outside of the blob is refused with its size, cold and stored', async () => {
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const asked = registry.blob(repository, digest, { range: { start: large.length } })
    await expect(asked).rejects.toMatchObject({ kind: 'range', size: large.length })
    await read(registry, digest)
    const again = registry.blob(repository, digest, { range: { start: large.length } })
    await expect(again).rejects.toMatchObject({ kind: 'range', size: large.length })
    expect(upstream.calls).toHaveLength(1)
  })

  it('D63: open-ended and closed early, many at once, costs one transfer', async () => {
    const { cache, upstream, registry } = given()
    const digest = upstream.addBlob('app', large)
    const step = Math.ceil(large.length / 20)
    const slices = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const start = index * step
        const { body } = await registry.blob(repository, digest, { range: { start } })
        await using owned = body
        const chunks: Buffer[] = []
        let got = 0
        const sink = {
          write: (chunk: Uint8Array) => {
            chunks.push(Buffer.from(chunk))
            got += chunk.length
            if (got >= Math.min(step, large.length - start)) throw new Error('enough')
          },
        }
        await expect(owned.sendTo(sink)).rejects.toThrow('enough')
        return Buffer.concat(chunks).subarray(0, step)
      }),
    )
    expect(Buffer.concat(slices).equals(large)).toBe(true)
    await eventually(async () => expect(await cache.blobs.stat(digest)).toBeDefined())
    expect(upstream.calls).toHaveLength(1)
  })

  it('short and far ahead of the writer goes upstream by itself, at most two at a time', async () => {
    const huge = Buffer.alloc(70 * 1024 * 1024, 'far ahead')
    const { upstream, registry } = given()
    const digest = upstream.addBlob('app', huge)
    const half = halfway(1024)
    upstream.sending = (bytes, sink, signal) =>
      bytes.length === huge.length ? half.sending(bytes, sink, signal) : Promise.resolve(sink.write(bytes))
    const whole = read(registry, digest)
    await half.reached
    const start = 69 * 1024 * 1024
    const ahead = { range: { start, end: start + 99 } }
    upstream.failures.set('blob', throttled('enough'))
    const refused = await registry.blob(repository, digest, ahead)
    upstream.failures.clear()
    const held = await Promise.all([registry.blob(repository, digest, ahead), registry.blob(repository, digest, ahead)])
    const third = await registry.blob(repository, digest, ahead)
    for (const { body } of held) expect((await collect(body)).equals(huge.subarray(start, start + 100))).toBe(true)
    expect(upstream.calls.map((call) => call.start)).toEqual([0, start, start, start])
    half.go()
    expect((await collect(refused.body)).equals(huge.subarray(start, start + 100))).toBe(true)
    expect((await collect(third.body)).equals(huge.subarray(start, start + 100))).toBe(true)
    expect((await whole).bytes.equals(huge)).toBe(true)
    expect(upstream.calls).toHaveLength(4)
  })
})
