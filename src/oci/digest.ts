import { createHash, type Hash } from 'node:crypto'
import { digestInvalid } from './errors.ts'

export type Algorithm = 'sha256' | 'sha512'

/** A content digest whose text was checked. From outside text only through `parseDigest`. */
export type Digest = `${Algorithm}:${string}`

const grammar = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

export const isDigest = (text: string): text is Digest => grammar.test(text)

/**
 * Reads a digest from text of any origin. Only registered algorithms in lower-case hex pass: the value is used as a
 * file name. Throws `invalid`.
 *
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
 */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw digestInvalid('a digest is sha256: or sha512: and its lower-case hex')
  return text
}

export const algorithmOf = (digest: Digest): Algorithm => (digest.startsWith('sha256:') ? 'sha256' : 'sha512')

export const hexOf = (digest: Digest): string => digest.slice(7)

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

/** Hashes what is streamed past it. */
export class Digester {
  readonly algorithm: Algorithm
  readonly #hash: Hash

  constructor(algorithm: Algorithm) {
    this.algorithm = algorithm
    this.#hash = createHash(algorithm)
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk)
  }

  /** The digest of all that was seen. Ends the digester. */
  finish(): Digest {
    return `${this.algorithm}:${this.#hash.digest('hex')}`
  }
}
