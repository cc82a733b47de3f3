import type { Algorithm, Digest } from '../oci/digest.ts'
import type { ByteRange } from '../oci/range.ts'
import type { Body } from '../oci/registry.ts'

export type BlobInfo = {
  digest: Digest
  /** In bytes. */
  size: number
  /** When the blob was last used, in milliseconds since the epoch. */
  usedAt: number
}

/** Bytes by digest. Knows nothing of repositories, tags or HTTP. Safe for any number of callers at once. */
export interface BlobStore {
  /** What cannot be looked at is not there. */
  stat(digest: Digest): Promise<BlobInfo | undefined>
  /**
   * One call, so that no eviction can come between a look and the opening. What is not a plain file is not there.
   * Throws `corrupt` for what is there and cannot be read, `unavailable` for what cannot be opened just now.
   */
  open(digest: Digest): Promise<OpenBlob | undefined>
  /** `size` is what is expected to be written, in bytes. Throws what the file system throws. */
  create(algorithm: Algorithm, size: number): Promise<BlobWriter>
  /** Notes that a blob is in use. What is not there is no error. */
  touch(digest: Digest, usedAt: number): Promise<void>
  /** Those who have the blob open keep reading. Resolves to whether it was there. */
  delete(digest: Digest): Promise<boolean>
  /**
   * Puts what is damaged aside, whatever it is, where nobody is served from it: the digest is not there any more, and
   * those who have it open keep reading. Given what was found damaged, leaves alone what has taken its place meanwhile.
   * Resolves to whether something was put aside.
   */
  quarantine(digest: Digest, found?: OpenBlob): Promise<boolean>
  list(): AsyncIterable<BlobInfo>
}

/** A blob held open by one owner, who disposes it. */
export interface OpenBlob extends AsyncDisposable {
  /** In bytes, of the file as opened. */
  readonly size: number
  /** When it came into the store, in milliseconds since the epoch. */
  readonly storedAt: number
  /**
   * A body over the whole blob or a range of it. Throws `corrupt` while it is sent where it cannot be read, or turns out
   * shorter than `size`. It reads from this handle: disposing the body disposes the blob.
   */
  body(range?: ByteRange): StoredBody
}

export interface StoredBody extends Body {
  /** Reads what is sent first, so that a blob that cannot be read shows before its bytes are promised to anybody. */
  begin(): Promise<void>
}

/** A blob in the making, invisible until `commit`. Disposing one that was not committed abandons its bytes. */
export interface BlobWriter extends AsyncDisposable {
  /** Bytes on disk so far. */
  readonly written: number
  /**
   * Appends. One call at a time; the chunk must not change until the promise settles. Once a write has failed, all
   * later ones fail as it did: they only go on hashing, what was written before stays readable, and `commit` throws.
   */
  write(chunk: Uint8Array): Promise<void>
  /**
   * Reads `range` into `target` and resolves to the bytes read, fewer only where fewer are written. May be called
   * while writing goes on, and after `commit` until disposal.
   */
  read(target: Uint8Array, position: number): Promise<number>
  /** The digest of what was written. No writes after it. */
  digest(): Digest
  /**
   * Publishes the blob whole and durably, or throws and publishes nothing. Throws `corrupt` where what was written is
   * not what is expected.
   */
  commit(expected: { digest: Digest; size?: number }): Promise<BlobInfo>
}
