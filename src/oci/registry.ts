import type { Digest } from './digest.ts'
import type { Kind, RegistryError } from './errors.ts'
import type { ByteRange, RangeSpec } from './range.ts'
import type { Reference } from './reference.ts'

/** https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md */
export type Descriptor = { mediaType: string; digest: Digest; size: number }

/** An entry of a referrers list: a descriptor with what the specification has registries copy from the manifest. */
export type Referrer = Descriptor & { artifactType?: string; annotations?: Record<string, string> }

/** How an answer came about; absent where no cache took part. */
export type Outcome = {
  /**
   * `hit`: no upstream was asked. `revalidated`: upstream confirmed what was stored. `stale`: upstream did not
   * confirm it yet, or could not. `miss`: fetched for this request. `collapsed`: joined another request's fetch.
   */
  cache: 'hit' | 'revalidated' | 'stale' | 'miss' | 'collapsed'
  /** Why a stale answer is stale; `revalidating` where upstream is asked while it is served. */
  reason?: Kind | 'revalidating'
  /** How long the answer stays fresh, in milliseconds; negative once it is stale. */
  ttlMs?: number
}

/** What would become of a question about a manifest that is asked now, as far as that is known without asking. */
export type Outlook = {
  /** Which manifest it is; absent where that has to be asked, and where nobody is answered. */
  digest?: Digest
  /** Whether upstream is asked: not at all, before there is an answer, or while there is one already. */
  asks: 'nobody' | 'first' | 'meanwhile'
  /** When upstream last said what a tag points to, in milliseconds since the epoch. */
  checkedAt?: number
  /** What is told in place of an answer, or why a tag that is due is answered without a check. */
  error?: RegistryError
  /** When that ceases to count, in milliseconds since the epoch. */
  againAt?: number
}

export type Resolved = {
  descriptor: Descriptor
  /** The manifest itself, where it had to be read to know its digest. */
  bytes?: Uint8Array
  outcome?: Outcome | undefined
}

/** A manifest as received, byte for byte. */
export type Manifest = { descriptor: Descriptor; bytes: Uint8Array; outcome?: Outcome | undefined }

/**
 * Where a body goes. The buffer belongs to the body again once the promise resolves: a sink that keeps bytes copies
 * them. A sink that rejects ends the transfer.
 */
export interface Sink {
  write(chunk: Uint8Array): Promise<void> | void
}

/** Bytes that can be sent once. Its owner disposes it, sent or not. */
export interface Body extends AsyncDisposable {
  /**
   * Sends all bytes in order. Resolves once the sink took the last one; rejects on the sink's error, on the abort of
   * `signal` (with its reason), and where the source cannot deliver the whole: then what was sent is a true prefix.
   * At most once.
   */
  sendTo(sink: Sink, signal?: AbortSignal): Promise<void>
}

export type BlobRead = {
  /** Of the whole blob, whatever the range. */
  descriptor: Descriptor
  /** What `body` holds of it; absent for the whole. */
  range?: ByteRange
  body: Body
  /** All bytes of the blob, where they are at hand. */
  bytes?: Uint8Array
  /** Whether it is whole in the store, for a caller who reads that; then `body` is empty. */
  stored?: boolean
  outcome?: Outcome | undefined
}

/** What a caller says about itself. */
export type Pull = {
  /** Ends the wait of this caller; work shared with others goes on. */
  signal?: AbortSignal | undefined
  /** Stands in log lines of faults that this pull meets. */
  requestId?: string | undefined
  /** The caller has an answer that will do: an upstream short of quota refuses with `throttled`, and is not asked. */
  check?: boolean | undefined
  /** The caller can read the store, and need not be given what is whole in there. */
  readsStore?: boolean | undefined
  /**
   * Where a tag points is asked of the upstream, however lately that was done and whatever came of it. Where it cannot
   * be asked, or does not say, that is thrown: nothing is answered in its place.
   */
  refresh?: boolean | undefined
  /**
   * Called before an upstream is asked, for this caller, about something that is not cached; not where the caller joins
   * a question that was asked already. Throws `throttled` to refuse.
   */
  admit?: (() => void) | undefined
}

/** A page of a lexically ordered list: at most `n` entries after `last`. */
export type Page = { n?: number; last?: string }

export type TagPage = { tags: string[]; more: boolean; outcome?: Outcome | undefined }

export type ReferrerList = { referrers: Referrer[]; outcome?: Outcome | undefined }

/**
 * Anything images can be pulled from: a cache, an upstream, a local repository. Methods may be called at once from
 * anywhere. All throw `RegistryError`: `unknown` for what is not there, `denied` where the source refuses us,
 * `throttled` with its delay, `unavailable` where the source cannot be reached or breaks, `corrupt` where it answers
 * with something that is not what it should be.
 */
export interface Registry {
  /** HEAD of a manifest; fetches no manifest unless its digest cannot be known otherwise. */
  resolve(reference: Reference, pull?: Pull): Promise<Resolved>
  /** A manifest whose bytes hash to the digest of its descriptor, and to the reference's where it has one. */
  manifest(reference: Reference, pull?: Pull): Promise<Manifest>
  /** HEAD of a blob; opens no body and starts no transfer. */
  stat(repository: string, digest: Digest, pull?: Pull): Promise<Descriptor & { outcome?: Outcome | undefined }>
  /** The caller owns the body. Throws `range` where the range cannot be served. */
  blob(repository: string, digest: Digest, pull?: Pull & { range?: RangeSpec | undefined }): Promise<BlobRead>
  /** Lexical order. */
  tags(repository: string, page?: Page, pull?: Pull): Promise<TagPage>
  /** All of them, unfiltered. Throws `unknown` where the source has no such list to offer. */
  referrers(repository: string, subject: Digest, pull?: Pull): Promise<ReferrerList>
}
