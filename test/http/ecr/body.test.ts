import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { Bodies } from '../../../src/http/ecr/body.ts'

const small = Buffer.alloc(4096, 'x')
const long = Buffer.alloc(4097, 'x')
const { signal } = new AbortController()

/** A request of which the client has sent so much, and its body once that was read. */
function request(bodies: Bodies, sent: Buffer, announced?: number) {
  const headers = announced === undefined ? {} : { 'content-length': String(announced) }
  const incoming = Object.assign(new PassThrough(), { headers })
  incoming.write(sent)
  const read = bodies.with(incoming as unknown as IncomingMessage, signal, async (body) => body.length)
  read.catch(() => {})
  return { incoming, read }
}

const many = (count: number, make: () => ReturnType<typeof request>) => Array.from({ length: count }, make)

const throttled = { code: 'ThrottlingException' }

describe('bodies of requests', () => {
  it('that are small wait for nobody, however many others were begun and not ended', async () => {
    const bodies = new Bodies()
    many(2000, () => request(bodies, small, 1024 * 1024))
    many(600, () => request(bodies, long, 1024 * 1024))
    const { incoming, read } = request(bodies, small)
    incoming.end()
    expect(await read).toBe(small.length)
  })

  it('that are long are held a few at a time, wait in turn, and are refused where many wait', async () => {
    const bodies = new Bodies()
    const [first, ...held] = many(32, () => request(bodies, long))
    const next = request(bodies, long)
    next.incoming.end()
    const waiting = many(511, () => request(bodies, long))
    await expect(request(bodies, long).read).rejects.toMatchObject(throttled)
    const state = () => Promise.race([next.read, 'waits'])
    expect(await state()).toBe('waits')
    first?.incoming.end()
    expect(await next.read).toBe(long.length)
    for (const { incoming } of [...held, ...waiting]) incoming.end()
    expect(await Promise.all([...held, ...waiting].map(({ read }) => read))).toEqual(Array(542).fill(long.length))
  })

  it('give their places back when they break', async () => {
    const bodies = new Bodies()
    for (const { incoming, read } of many(32, () => request(bodies, long))) {
      incoming.destroy(new Error('gone'))
      await expect(read).rejects.toThrow('gone')
    }
    const { incoming, read } = request(bodies, long)
    incoming.end()
    expect(await read).toBe(long.length)
  })

  it.each([undefined, 1024 * 1024 + 1])('of more than a MiB are refused: announced %s', async (announced) => {
    const { read } = request(new Bodies(), Buffer.alloc(1024 * 1024 + 1), announced)
    await expect(read).rejects.toMatchObject({ code: 'RequestEntityTooLargeException', status: 413 })
  })
})
