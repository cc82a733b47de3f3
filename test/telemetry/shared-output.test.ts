import { Writable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it, onTestFinished, vi } from 'vitest'
import { inPieces } from '../../src/telemetry/shared-output.ts'

/** What is written to it, and when it takes more. */
function output() {
  const pieces: string[] = []
  const waiting: (() => void)[] = []
  const out = new Writable({
    decodeStrings: false,
    write(piece: string, _, done) {
      pieces.push(piece)
      waiting.push(done)
    },
  })
  const drain = async () => {
    await expect.poll(() => waiting.length).toBeGreaterThan(0)
    while (waiting.length > 0) {
      waiting.shift()?.()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { out, pieces, drain }
}

it('writes whole lines in pieces that a pipe takes at once', async () => {
  const { out, pieces, drain } = output()
  const destination = inPieces(out)
  const lines = Array.from({ length: 100 }, (_, n) => `${JSON.stringify({ n, text: 'ö'.repeat(n % 40) })}\n`)
  for (const line of lines) destination.write(line)
  await drain()
  expect(pieces.join('')).toBe(lines.join(''))
  expect(pieces.length).toBeLessThan(10)
  for (const piece of pieces) {
    expect(piece.endsWith('\n')).toBe(true)
    expect(Buffer.byteLength(piece)).toBeLessThanOrEqual(4096)
  }
})

it('writes what comes in a few turns of the event loop at once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const { out, pieces } = output()
  const destination = inPieces(out)
  for (let n = 0; n < 3; n++) {
    destination.write(`${JSON.stringify({ n })}\n`)
    await nextTurn()
  }
  expect(pieces).toEqual([])
  await vi.runAllTimersAsync()
  expect(pieces).toEqual(['{"n":0}\n{"n":1}\n{"n":2}\n'])
})

it('cuts texts of a line that is longer than that, and keeps the line', async () => {
  const { out, pieces, drain } = output()
  const error = { message: 'm'.repeat(512), stack: '"'.repeat(4096), cause: { message: '\u0001'.repeat(512) } }
  inPieces(out).write(`${JSON.stringify({ level: 'warn', requestId: 'r', status: 500, error })}\n`)
  await drain()
  expect(pieces).toHaveLength(1)
  expect(Buffer.byteLength(pieces[0] ?? '')).toBeLessThanOrEqual(4096)
  expect(JSON.parse(pieces[0] ?? '')).toMatchObject({ level: 'warn', requestId: 'r', status: 500 })
})

it('loses lines, and takes no memory, while nobody reads', async () => {
  const { out, pieces, drain } = output()
  const destination = inPieces(out)
  const line = `${JSON.stringify({ text: 'x'.repeat(900) })}\n`
  for (let n = 0; n < 20_000; n++) destination.write(line)
  await drain()
  expect(pieces.join('').length).toBeLessThan(9 * 1024 * 1024)
  destination.write('{"last":true}\n')
  await drain()
  expect(pieces.at(-1)).toContain('{"last":true}\n')
})
