import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'

type Source = string | ArrayBuffer | ArrayBufferView

/** SHA-256, or HMAC-SHA-256 where there is a secret, in the form that AWS's signer asks for. */
export class Sha256 {
  readonly #hash: Hash | Hmac

  constructor(secret?: Source) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret))
  }

  update(source: Source): void {
    this.#hash.update(bytesOf(source))
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
}

function bytesOf(source: Source): Uint8Array {
  if (typeof source === 'string') return Buffer.from(source)
  if (source instanceof ArrayBuffer) return new Uint8Array(source)
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
}
