import { expect, it } from 'vitest'
import { LastAnswers } from '../../src/inspection/last-answers.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { denied, unavailable } from '../../src/oci/errors.ts'
import { rule } from '../cache/given.ts'
import { ScriptedRegistry } from '../cache/scripted-registry.ts'

const latest = { repository: 'app', tag: 'latest' }

function given(change: Partial<typeof rule> = {}) {
  const upstream = new ScriptedRegistry()
  const answers = new LastAnswers(() => 7)
  const heard = answers.hear({ ...rule, ...change }, Object.assign(upstream, { [Symbol.asyncDispose]: async () => {} }))
  return { upstream, answers, heard }
}

it('remembers where a tag points, or why upstream did not say, and no more of it', async () => {
  const { upstream, answers, heard } = given()
  const { descriptor } = upstream.addManifest('app', { one: 1 }, 'latest')
  await heard.manifest(latest)
  expect(answers.of(rule, 'app', 'latest')).toEqual({ at: 7, kind: 'ok', digest: descriptor.digest })
  upstream.failure = denied('x'.repeat(1000), { cause: new Error('canary') })
  await expect(heard.resolve(latest)).rejects.toBe(upstream.failure)
  expect(answers.of(rule, 'app', 'latest')).toEqual({ at: 7, kind: 'denied', message: 'x'.repeat(256) })
})

it('remembers which blobs were refused until they are had', async () => {
  const { upstream, answers, heard } = given()
  const digest = upstream.addBlob('app', Buffer.from('blob'))
  await heard.stat('app', digest)
  expect(answers.of(rule, 'app', digest)).toBeUndefined()
  upstream.failure = unavailable('down')
  await expect(heard.blob('app', digest)).rejects.toBe(upstream.failure)
  expect(answers.of(rule, 'app', digest)).toMatchObject({ kind: 'unavailable', message: 'down' })
  upstream.failure = undefined
  await heard.blob('app', digest)
  expect(answers.of(rule, 'app', digest)).toBeUndefined()
})

it('takes a client that left for no answer', async () => {
  const { answers, heard } = given()
  const signal = AbortSignal.abort(new Error('left'))
  await expect(heard.resolve(latest, { signal })).rejects.toThrow('left')
  expect(answers.of(rule, 'app', 'latest')).toBeUndefined()
})

it('keeps rules apart that lead to one upstream with credentials of their own', async () => {
  const { answers, heard } = given()
  await expect(heard.resolve(latest)).rejects.toThrow()
  expect(answers.of(rule, 'app', 'latest')).toMatchObject({ kind: 'unknown' })
  expect(answers.of({ ...rule, prefix: 'other' }, 'app', 'latest')).toBeUndefined()
  expect(answers.of({ ...rule, upstream: 'https://elsewhere.test' }, 'app', 'latest')).toBeUndefined()
})

it('forgets the oldest of many', async () => {
  const { answers, heard } = given()
  for (let at = 0; at <= 10_000; at++) await heard.stat('app', `sha256:${at}` as Digest).catch(() => {})
  expect(answers.of(rule, 'app', 'sha256:0')).toBeUndefined()
  expect(answers.of(rule, 'app', 'sha256:1')).toMatchObject({ kind: 'unknown' })
  expect(answers.of(rule, 'app', 'sha256:10000')).toMatchObject({ kind: 'unknown' })
})
