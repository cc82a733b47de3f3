import { describe, expect, it } from 'vitest'
import {
  corrupt,
  denied,
  manifestUnknown,
  type RegistryError,
  rangeInvalid,
  throttled,
  unavailable,
} from '../../src/oci/errors.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { Fallback } from '../../src/upstream/fallback.ts'
import { ScriptedRegistry } from '../cache/scripted-registry.ts'
import { digestOfBody, upstreamTo } from '../support/faulty-rule.ts'
import { image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'

const tag = { repository: 'app', tag: 'latest' }

class Closable extends ScriptedRegistry {
  closed = false

  async [Symbol.asyncDispose]() {
    this.closed = true
  }
}

/** A mirror, and the upstream that it stands in for. */
function given({ onUnknown = false, canonicalFirst = false } = {}) {
  const mirror = new Closable()
  const canonical = new Closable()
  const ways = [
    { registry: mirror, host: 'mirror', canonical: false },
    { registry: canonical, host: 'canonical', canonical: true },
  ]
  return { mirror, canonical, registry: new Fallback(canonicalFirst ? ways.toReversed() : ways, { onUnknown }) }
}

describe('several upstreams', () => {
  it('the first is asked alone while it answers', async () => {
    const { mirror, canonical, registry } = given()
    const { descriptor } = mirror.addManifest('app', { one: 1 }, 'latest')
    expect((await registry.manifest(tag)).descriptor).toEqual(descriptor)
    expect(canonical.calls).toEqual([])
  })

  it.each([
    ['cannot be reached', unavailable('down')],
    ['allows no more', throttled('enough')],
    ['answers nonsense', corrupt('html')],
  ])('the second is asked where the first %s', async (_, failure) => {
    const { mirror, canonical, registry } = given()
    const { descriptor } = canonical.addManifest('app', { one: 1 }, 'latest')
    mirror.failure = failure
    expect((await registry.manifest(tag)).descriptor).toEqual(descriptor)
    expect((await registry.resolve(tag)).descriptor).toEqual(descriptor)
    expect((await registry.tags('app')).tags).toEqual(['latest'])
    expect(mirror.calls).toHaveLength(3)
  })

  it.each([
    ['lacks something', manifestUnknown('app', 'latest')],
    ['denies it', denied('no')],
  ])('where the first %s, the second is asked only on wish', async (_, failure) => {
    for (const onUnknown of [false, true]) {
      const { mirror, canonical, registry } = given({ onUnknown })
      canonical.addManifest('app', { one: 1 }, 'latest')
      mirror.failure = failure
      if (onUnknown) await registry.manifest(tag)
      else await expect(registry.manifest(tag)).rejects.toBe(failure)
      expect(canonical.calls).toHaveLength(onUnknown ? 1 : 0)
    }
  })

  it.each<[string, RegistryError, RegistryError]>([
    ['lacks what that one cannot be asked for', manifestUnknown('a', 'b'), unavailable('down')],
    ['cannot be asked for what that one lacks', unavailable('down'), manifestUnknown('a', 'b')],
    ['is out of quota as well', throttled('mirror'), throttled('canonical')],
  ])('the upstream that they stand in for counts where a mirror %s', async (_, first, second) => {
    for (const canonicalFirst of [false, true]) {
      const { mirror, canonical, registry } = given({ onUnknown: true, canonicalFirst })
      mirror.failure = first
      canonical.failure = second
      await expect(registry.manifest(tag)).rejects.toBe(second)
    }
  })

  it('no mirror takes the place of an upstream that is down by lacking something', async () => {
    const { mirror, canonical, registry } = given({ canonicalFirst: true })
    canonical.failure = unavailable('down')
    mirror.failure = manifestUnknown('app', 'latest')
    await expect(registry.manifest(tag)).rejects.toBe(canonical.failure)
  })

  it('what the client asks wrongly is wrong everywhere', async () => {
    const { mirror, canonical, registry } = given({ onUnknown: true })
    mirror.failure = rangeInvalid(10)
    await expect(registry.blob('app', randomBlob(1).digest)).rejects.toBe(mirror.failure)
    expect(canonical.calls).toEqual([])
  })

  it('who left is not asked for any more', async () => {
    const { canonical, registry } = given()
    await expect(registry.manifest(tag, { signal: AbortSignal.abort('gone') })).rejects.toBe('gone')
    expect(canonical.calls).toEqual([])
  })

  it('a failure that nobody sees is told', async () => {
    const { mirror, canonical, registry } = given()
    canonical.addManifest('app', { one: 1 }, 'latest')
    mirror.failure = unavailable('down')
    const told: Events['cistern:fault'][] = []
    const end = subscribe('cistern:fault', (event) => event.upstream === 'mirror' && told.push(event))
    await registry.manifest(tag, { requestId: 'r1' })
    end()
    expect(told).toMatchObject([{ kind: 'unavailable', requestId: 'r1' }])
  })

  it('are closed together', async () => {
    const { mirror, canonical, registry } = given()
    await registry[Symbol.asyncDispose]()
    expect([mirror.closed, canonical.closed]).toEqual([true, true])
  })

  it('A3: a mirror whose breaker is open costs no time', async () => {
    await using down = await startUpstream()
    await using remote = await startUpstream()
    await down.goDown()
    const breaker = { threshold: 1, openMs: 60_000 }
    const ways = [
      { registry: upstreamTo(down.url, { breaker }), host: down.host, canonical: false },
      { registry: upstreamTo(remote.url), host: remote.host, canonical: true },
    ]
    await using registry = new Fallback(ways, { onUnknown: false })
    const pushed = remote.addImage('app', 'latest', image())
    await registry.manifest(tag)
    await down.comeUp()
    expect((await registry.manifest(tag)).descriptor).toEqual(pushed.descriptor)
    const { body } = await registry.blob('app', pushed.config.digest)
    expect(await digestOfBody(body)).toBe(pushed.config.digest)
    expect(down.requests()).toEqual([])
  })
})
