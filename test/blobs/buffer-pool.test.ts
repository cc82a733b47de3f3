import { expect, test } from 'vitest'
import { BufferPool } from '../../src/blobs/buffer-pool.ts'

const mebibyte = 1024 * 1024
const gigabyte = 1e9
const small = 64 * 1024

const takeMany = (pool: BufferPool, count: number): Uint8Array[] =>
  Array.from({ length: count }, () => pool.take(gigabyte))

const total = (buffers: readonly Uint8Array[]): number => buffers.reduce((sum, { length }) => sum + length, 0)

test('few transfers get large buffers, many smaller ones, and none is refused one', () => {
  const lengths = takeMany(new BufferPool(), 200).map(({ length }) => length)
  expect(lengths[0]).toBe(mebibyte)
  expect(lengths).toEqual(lengths.toSorted((a, b) => b - a))
  expect(new Set(lengths)).toEqual(new Set([mebibyte, mebibyte / 2, small]))
})

test('a thousand slow readers hold what few do, and a small buffer each', () => {
  expect(total(takeMany(new BufferPool(), 1000))).toBeLessThanOrEqual(48 * mebibyte + 1000 * small)
})

test('a short transfer takes a small buffer, whoever else has large ones', () => {
  expect(new BufferPool().take(10_000).length).toBe(small)
})

test('what was given back is lent again', () => {
  const pool = new BufferPool()
  const lent = takeMany(pool, 200)
  for (const buffer of lent) pool.give(buffer)
  const again = takeMany(pool, 200)
  expect(again.map(({ length }) => length)).toEqual(lent.map(({ length }) => length))
  expect(again.some((buffer) => lent.includes(buffer))).toBe(true)
})

test('few buffers are kept for later', () => {
  const pool = new BufferPool()
  for (const buffer of takeMany(pool, 1000)) pool.give(buffer)
  const again = new Set(takeMany(pool, 1000))
  for (const buffer of again) pool.give(buffer)
  const kept = takeMany(pool, 1000).filter((buffer) => again.has(buffer))
  expect(total(kept)).toBeLessThanOrEqual(3 * 8 * mebibyte)
})
