import { afterEach, expect, it } from 'vitest'
import { parseLifecyclePolicy } from '../../src/lifecycle/policy.ts'
import type { Previews } from '../../src/repositories/previews.ts'
import { subscribe } from '../../src/telemetry/events.ts'
import { eventually } from '../support/eventually.ts'
import { day, givenExpiry, policyOf } from './expiring-images.ts'

const text = policyOf({ countType: 'sinceImagePushed', countNumber: 1 })
const policy = parseLifecyclePolicy(text)
let unsubscribe = () => {}

afterEach(() => unsubscribe())

const complete = (previews: Previews, repository: string) =>
  eventually(async () => expect(previews.get(repository)?.status).toBe('COMPLETE'))

it('says what a policy would let go, and deletes none of it', async () => {
  const { clock, image, blob, tag, stored, previews } = givenExpiry()
  const old = await image('r', await blob('r', 'old'))
  await tag('r', 'v1', old)
  const pushedAt = clock.now
  clock.now += 2 * day
  const young = await image('r', await blob('r', 'young'))
  expect(previews.get('r')).toBeUndefined()
  expect(previews.start('r', text, policy)).toBe('started')
  expect(previews.get('r')).toEqual({ policyText: text, status: 'IN_PROGRESS', expiring: [] })
  expect(previews.start('r', text, policy)).toBe('running')
  await complete(previews, 'r')
  expect(previews.get('r')).toEqual({
    policyText: text,
    status: 'COMPLETE',
    expiring: [{ digest: old, tags: ['v1'], pushedAt, rulePriority: 1 }],
  })
  expect(await stored(old, young)).toEqual([old, young])
})

it('forgets a preview after a day, and when another one begins', async () => {
  const { clock, previews } = givenExpiry()
  previews.start('r', text, policy)
  await complete(previews, 'r')
  clock.now += day - 1
  expect(previews.get('r')).toBeDefined()
  clock.now += 2
  expect(previews.get('r')).toBeUndefined()
})

it('begins so many at a time and no more', async () => {
  const { previews } = givenExpiry()
  const started = Array.from({ length: 40 }, (_, index) => previews.start(`r${index}`, text, policy))
  expect(new Set(started)).toEqual(new Set(['started', 'too many']))
  const last = started.lastIndexOf('started')
  await complete(previews, `r${last}`)
  expect(previews.start('another', text, policy)).toBe('started')
  await complete(previews, 'another')
})

it('says that one failed, and announces why', async () => {
  const { blob, image, previews, metadata } = givenExpiry()
  await image('r', await blob('r', 'x'))
  const faults: unknown[] = []
  unsubscribe = subscribe('cistern:fault', (fault) => faults.push(fault))
  metadata.pulls.get = () => Promise.reject(new Error('the disk is gone'))
  previews.start('r', text, policy)
  await eventually(async () => expect(previews.get('r')?.status).toBe('FAILED'))
  expect(faults).toMatchObject([{ repository: 'r', where: 'metadata' }])
})

it('ends what runs with its owner', async () => {
  const { blob, image, previews } = givenExpiry()
  await image('r', await blob('r', 'x'))
  previews.start('r', text, policy)
  previews.start('s', text, policy)
  await previews[Symbol.asyncDispose]()
  expect([previews.get('r'), previews.get('s')]).toEqual([undefined, undefined])
})
