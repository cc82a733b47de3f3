import { describe, expect, it } from 'vitest'
import { Places } from '../../src/async/places.ts'

describe('places', () => {
  it('are given out in order, each as one becomes free', async () => {
    const places = new Places(2, 10)
    const [first, second] = [await places.take(), await places.take()]
    const order: string[] = []
    const waiting = ['third', 'fourth', 'fifth'].map((name) => places.take().then(() => order.push(name)))
    expect(places.waiting).toBe(3)
    second?.()
    await waiting[0]
    first?.()
    await waiting[1]
    expect(order).toEqual(['third', 'fourth'])
  })

  it('given back twice is one place', async () => {
    const places = new Places(1, 10)
    const leave = await places.take()
    leave?.()
    leave?.()
    await places.take()
    void places.take()
    expect(places.waiting).toBe(1)
  })

  it('are not waited for by more than are let in', async () => {
    const places = new Places(1, 1)
    await places.take()
    void places.take()
    expect(await places.take()).toBeUndefined()
  })

  it('pass by who left', async () => {
    const places = new Places(1, 10)
    const leave = await places.take()
    const leaving = new AbortController()
    const gone = places.take(leaving.signal)
    const next = places.take()
    leaving.abort()
    await expect(gone).rejects.toBe(leaving.signal.reason)
    leave?.()
    expect(await next).toBeTypeOf('function')
    expect(places.waiting).toBe(0)
  })

  it('are not lost where a turn comes as its taker leaves', async () => {
    const places = new Places(1, 10)
    const leave = await places.take()
    const leaving = new AbortController()
    const gone = places.take(leaving.signal)
    leaving.abort()
    leave?.()
    await expect(gone).rejects.toBe(leaving.signal.reason)
    expect(await places.take()).toBeTypeOf('function')
  })

  it('refuse a signal that was aborted before', async () => {
    const places = new Places(1, 10)
    await expect(places.take(AbortSignal.abort('gone'))).rejects.toBe('gone')
    expect(await places.take()).toBeTypeOf('function')
  })
})
