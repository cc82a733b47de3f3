import type { ByteRange } from '../oci/range.ts'
import type { Body } from '../oci/registry.ts'

/** Bytes at hand, or a range of them, as a body. */
export function bodyOf(bytes: Uint8Array, range?: ByteRange): Body {
  const part = range ? bytes.subarray(range.start, range.end + 1) : bytes
  return {
    async sendTo(sink, signal) {
      signal?.throwIfAborted()
      if (part.length > 0) await sink.write(part)
    },
    async [Symbol.asyncDispose]() {},
  }
}
