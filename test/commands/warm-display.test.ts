import { expect, it } from 'vitest'
import { inLines, onTerminal, printedProgress } from '../../src/commands/warm-display.ts'
import type { WarmEvent } from '../../src/transfer/warm.ts'

const MiB = 1024 * 1024

const progress = (done: number, fetched: number, known: number, surveyed = 4): WarmEvent => ({
  event: 'progress',
  items: { done, total: 4, surveyed },
  bytes: { fetched, known },
})

function given(columns = 120) {
  const clock = { now: 0 }
  const written: string[] = []
  const screen = { write: (text: string) => written.push(text), columns }
  return { clock, written, screen, now: () => clock.now }
}

it('says how far all is, how fast it goes and how long it takes, over one line', () => {
  const { clock, written, screen, now } = given()
  const display = onTerminal(screen, now)
  display.show(progress(0, 0, 0, 0))
  clock.now = 1000
  display.show(progress(1, 10 * MiB, 100 * MiB))
  clock.now = 2000
  display.show(progress(1, 30 * MiB, 100 * MiB))
  expect(written).toEqual([
    '\r\u001b[2K0 of 4 images, 0 B of 0 B',
    '\r\u001b[2K1 of 4 images, 10.0 MiB of 100.0 MiB, 10.0 MiB/s, 9s left',
    '\r\u001b[2K1 of 4 images, 30.0 MiB of 100.0 MiB, 15.0 MiB/s, 5s left',
  ])
})

it('takes images of which nothing is known yet for as large as the others', () => {
  const event = progress(0, 0, 100 * MiB, 2) as Extract<WarmEvent, { event: 'progress' }>
  expect(printedProgress(event, MiB)).toContain('3m 20s left')
  expect(printedProgress({ ...event, bytes: { fetched: 0, known: 72 * 1024 * MiB } }, 10 * MiB)).toContain(
    '4h 05m left',
  )
})

it('forgets how fast it went long ago', () => {
  const { clock, written, screen, now } = given()
  const display = onTerminal(screen, now)
  display.show(progress(0, 0, 100 * MiB))
  for (clock.now = 1000; clock.now <= 30_000; clock.now += 1000) display.show(progress(0, 50 * MiB, 100 * MiB))
  expect(written.at(-1)).toBe('\r\u001b[2K0 of 4 images, 50.0 MiB of 100.0 MiB')
})

it('writes each image above the line, which is never longer than the terminal', () => {
  const { written, screen, now } = given(20)
  const display = onTerminal(screen, now)
  display.show(progress(0, 0, 0))
  display.show({ event: 'item', reference: 'a/b:1', state: 'fetched', bytes: 3 * MiB, unchecked: true })
  display.show({
    event: 'item',
    reference: 'a/c:1',
    state: 'deferred',
    bytes: 0,
    reason: 'no more',
    retryAfterMs: 61_000,
  })
  display.show({
    event: 'item',
    reference: 'a/d:1',
    state: 'failed',
    bytes: 0,
    reason: 'it is not whole',
    missing: [{ platform: 'linux/arm' }],
  })
  display.show({ event: 'waiting', upstream: 'hub', waitMs: 1500 })
  display.end({ fetched: 1, here: 0, failed: 1, deferred: 1, bytes: 3 * MiB })
  const status = '0 of 4 images, 0 B '
  expect(written).toEqual([
    `\r\u001b[2K${status}`,
    `\r\u001b[2Kfetched   a/b:1: 3.0 MiB; its upstream could not be asked whether it moved\n${status}`,
    `\r\u001b[2Kdeferred  a/c:1: no more; again in 1m 01s\n${status}`,
    `\r\u001b[2Kfailed    a/d:1: it is not whole; linux/arm is missing\n${status}`,
    `\r\u001b[2Kwaiting   hub allows no more for 2s\n${status}`,
    '\r\u001b[2K1 fetched (3.0 MiB), 0 here already, 1 failed, 1 deferred\n',
  ])
})

it('tells programs each image, and progress now and then', () => {
  const { clock, written, screen, now } = given()
  const display = inLines(screen, now)
  for (clock.now = 0; clock.now < 11_000; clock.now += 500) display.show(progress(0, clock.now, 20_000))
  display.show({ event: 'item', reference: 'a/b:1', state: 'here', bytes: 0 })
  display.end({ fetched: 0, here: 1, failed: 0, deferred: 0, bytes: 0 })
  const events = written.map((line) => JSON.parse(line))
  expect(events.map(({ event, bytes }) => (event === 'progress' ? bytes.fetched : event))).toEqual([
    ...[0, 5000, 10_000, 'item', 'end'],
  ])
  expect(events.at(-1)).toEqual({
    event: 'end',
    fetched: 0,
    here: 1,
    failed: 0,
    deferred: 0,
    bytes: 0,
    durationMs: 11_000,
  })
  expect(written.every((line) => line.endsWith('\n'))).toBe(true)
})
