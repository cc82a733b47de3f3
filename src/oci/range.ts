import { rangeInvalid } from './errors.ts'

/** A byte range as asked for. */
export type RangeSpec = { start: number; end?: number } | { suffix: number }

/** A byte range as resolved against a size; both ends count. */
export type ByteRange = { start: number; end: number }

/**
 * Reads a Range header. Anything but one well-formed byte range gives `undefined`, which means: answer with the whole.
 * A server may always do so, and several ranges at once are not served.
 *
 * https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function parseRange(header: string | undefined): RangeSpec | undefined {
  const match = header === undefined ? null : /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim())
  if (!match) return undefined
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? undefined : { suffix: Number(last) }
  return last === '' ? { start: Number(first) } : { start: Number(first), end: Number(last) }
}

/** Resolves what was asked against the size of the whole. Throws `range` where no byte of it can be served. */
export function resolveRange(spec: RangeSpec, size: number): ByteRange {
  if ('suffix' in spec) {
    if (spec.suffix === 0 || size === 0) throw rangeInvalid(size)
    return { start: Math.max(0, size - spec.suffix), end: size - 1 }
  }
  const end = Math.min(spec.end ?? size - 1, size - 1)
  if (spec.start >= size || spec.start > end) throw rangeInvalid(size)
  return { start: spec.start, end }
}

export const lengthOf = (range: ByteRange): number => range.end - range.start + 1

/** The value of a Content-Range header. */
export const contentRange = (range: ByteRange, size: number): string => `bytes ${range.start}-${range.end}/${size}`
