import { expect, it } from 'vitest'
import { nameUnknown, throttled, unavailable } from '../../src/oci/errors.ts'
import { Deferred, Patience } from '../../src/transfer/patience.ts'

/** An upstream that fails as told, and then answers. */
function given({ patienceMs = 1000, failures = [] as Error[] } = {}) {
  const ending = new AbortController()
  const waits: number[] = []
  const asked: number[] = []
  const patience = new Patience({ patienceMs, pauseMs: 1, signal: ending.signal, onWait: (ms) => waits.push(ms) })
  const ask = (name = 0) =>
    patience.ask(async () => {
      asked.push(name)
      const failure = failures.shift()
      if (failure) throw failure
      return 'answer'
    })
  return { ask, asked, waits, ending, patience }
}

const later = (retryAfterMs: number) => throttled('no more for now', { retryAfterMs })

it('waits for an upstream that says to come again soon, and has everybody wait', async () => {
  const { ask, asked, waits } = given({ failures: [later(30)] })
  const first = ask(1)
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(await Promise.all([first, ask(2), ask(3)])).toEqual(['answer', 'answer', 'answer'])
  expect([asked[0], asked.length, waits]).toEqual([1, 4, [30]])
})

it('gives an upstream up that says to come again late, without a word to it from then on', async () => {
  const { ask, asked } = given({ failures: [later(5000)] })
  const failure = await ask().catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(Deferred)
  expect(failure).toMatchObject({ message: 'no more for now', retryAfterMs: 5000 })
  await expect(ask()).rejects.toBe(failure)
  expect(asked).toHaveLength(1)
})

it('gives an upstream up that says so again and again', async () => {
  const { ask, asked } = given({ failures: Array.from({ length: 50 }, () => later(1)) })
  await expect(ask()).rejects.toBeInstanceOf(Deferred)
  expect(asked).toHaveLength(11)
})

it('begins to count anew with every answer', async () => {
  const { ask } = given({ failures: Array.from({ length: 10 }, () => later(1)) })
  await ask()
  const again = given({ failures: Array.from({ length: 10 }, () => later(1)) })
  expect(await again.ask()).toBe('answer')
})

it('asks again for what was not available, and tells everything else', async () => {
  const broken = given({ failures: [unavailable('broken'), unavailable('broken')] })
  expect(await broken.ask()).toBe('answer')
  const down = given({ failures: Array.from({ length: 9 }, () => unavailable('down')) })
  await expect(down.ask()).rejects.toThrow('down')
  expect(down.asked).toHaveLength(3)
  const missing = given({ failures: [nameUnknown('x')] })
  await expect(missing.ask()).rejects.toThrow('not served here')
  expect(missing.asked).toHaveLength(1)
})

it('waits no longer than anybody wants it to', async () => {
  const { ask, ending } = given({ patienceMs: 1e6, failures: [later(100_000)] })
  const asking = ask()
  const failed = expect(asking).rejects.toThrow('stopped')
  setTimeout(() => ending.abort(new Error('stopped')), 5)
  await failed
})
