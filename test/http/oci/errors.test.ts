import { describe, expect, it } from 'vitest'
import { ClientLimits } from '../../../src/access/client-limits.ts'
import { corrupt, denied, manifestUnknown, RegistryError, throttled, unavailable } from '../../../src/oci/errors.ts'
import { startFace } from '../../support/face.ts'

const target = '/v2/docker.io/library/nginx/manifests/latest'

describe('a failure', () => {
  it.each([
    [manifestUnknown('r', 'latest'), 404, 'MANIFEST_UNKNOWN'],
    [denied('the upstream refuses us'), 403, 'DENIED'],
    [new RegistryError('unauthorized', 'UNAUTHORIZED', 'who are you'), 401, 'UNAUTHORIZED'],
    [throttled('slow down'), 429, 'TOOMANYREQUESTS'],
    [unavailable('the upstream is down'), 502, 'UNAVAILABLE'],
    [unavailable('the upstream is slow', { timedOut: true }), 504, 'UNAVAILABLE'],
    [corrupt('the upstream sent something else'), 502, 'UNAVAILABLE'],
  ])('%s is %i %s', async (failure, status, code) => {
    await using face = await startFace()
    face.registry.failure = failure
    const response = await face.get(target)
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.json()).toEqual({ errors: [{ code, message: failure.message }] })
    expect(face.faults).toEqual([])
  })

  it('B27: says when to come back, and by setting sends clients elsewhere', async () => {
    await using shield = await startFace()
    shield.registry.failure = throttled('slow down', { retryAfterMs: 1500 })
    const response = await shield.get(target)
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '2'])

    await using detour = await startFace({ throttledStatus: 503 })
    detour.registry.failure = throttled('slow down')
    const elsewhere = await detour.get(target)
    expect([elsewhere.status, elsewhere.headers.get('retry-after')]).toEqual([503, '60'])
    expect(await elsewhere.json()).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
  })

  it('H110: of our own is 500 that tells nothing, announced with its cause', async () => {
    await using face = await startFace()
    face.registry.failure = new TypeError('canary https://x/?X-Amz-Signature=secret')
    const response = await face.get(target)
    expect(response.status).toBe(500)
    expect(await response.text()).toBe('{"errors":[{"code":"UNAVAILABLE","message":"internal error"}]}')
    expect(face.faults).toMatchObject([{ where: 'http', kind: 'internal', error: face.registry.failure }])
    expect(face.faults[0]?.requestId).toBe(response.headers.get('x-request-id'))
    face.registry.failure = undefined
    face.registry.addManifest('docker.io/library/nginx', 'latest', '{}')
    expect((await face.get(target)).status).toBe(200)
  })

  it('E80: has no control characters and an end', async () => {
    await using face = await startFace()
    face.registry.failure = unavailable(`a\u001b[31m\u0000\u009b\u2028\u202e${'x'.repeat(5000)}`)
    const text = await (await face.get(target)).text()
    expect(text).not.toMatch(/[\p{Cc}\u2028\u202e]/u)
    expect(text.length).toBeLessThan(700)
  })
})

describe('E78: a client that asks for what does not exist', () => {
  it('is refused once its questions to upstream led to nothing too often, and still gets what is there', async () => {
    await using face = await startFace({ limits: new ClientLimits({ unknownPerMinute: 3, now: () => 0 }) })
    face.registry.upstream = true
    const statuses: number[] = []
    for (let at = 0; at < 5; at++) {
      statuses.push((await face.get(`/v2/docker.io/library/nginx/manifests/none-${at}`)).status)
    }
    expect(statuses).toEqual([404, 404, 404, 429, 429])
    expect(face.registry.asked).toHaveLength(3)
    face.registry.upstream = false // what is cached needs no upstream
    face.registry.addManifest('docker.io/library/nginx', 'latest', '{}')
    expect((await face.get(target)).status).toBe(200)
  })

  it('pays only for what upstream was asked about and did not have', async () => {
    await using face = await startFace({ limits: new ClientLimits({ unknownPerMinute: 2, now: () => 0 }) })
    for (let at = 0; at < 5; at++) await face.get('/v2/docker.io/library/nginx/manifests/none')
    face.registry.upstream = true
    face.registry.addManifest('docker.io/library/nginx', 'latest', '{}')
    for (let at = 0; at < 5; at++) expect((await face.get(target)).status).toBe(200)
  })
})
