import { LRUCache } from 'lru-cache'
import { linkKey, type Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'

/** How exact times are. Pulls closer together are written down once. */
const resolutionMs = 60 * 60_000
/** Pulls closer together than this are not even looked up. */
const pauseMs = 60_000
const maxRemembered = 100_000

/** When images were last pulled. */
export class PullTimes {
  readonly #metadata: Pick<Metadata, 'links' | 'pulls'>
  readonly #clock: () => number
  readonly #notedAt = new LRUCache<string, number>({ max: maxRemembered })

  constructor(metadata: Pick<Metadata, 'links' | 'pulls'>, clock: () => number) {
    this.#metadata = metadata
    this.#clock = clock
  }

  /** A client was given the manifest. Waits for nothing. */
  note(repository: string, digest: Digest): void {
    const key = linkKey(repository, digest)
    const now = this.#clock()
    if (isWithin(pauseMs, this.#notedAt.get(key), now)) return
    this.#notedAt.set(key, now)
    setImmediate(() => void this.#write(key, now))
  }

  /** In milliseconds since the epoch; up to an hour before the last pull. `undefined` where none is known. */
  async of(repository: string, digest: Digest): Promise<number | undefined> {
    return (await this.#metadata.pulls.get(linkKey(repository, digest)))?.pulledAt
  }

  async forget(repository: string, digest: Digest): Promise<void> {
    const key = linkKey(repository, digest)
    this.#notedAt.delete(key)
    await this.#metadata.pulls.delete(key)
  }

  /** What the repository does not hold is not remembered either. */
  async #write(key: string, pulledAt: number): Promise<void> {
    const { links, pulls } = this.#metadata
    try {
      const before = await pulls.get(key)
      if (isWithin(resolutionMs, before?.pulledAt, pulledAt) || !(await links.get(key))) return
      await pulls.set(key, { pulledAt })
    } catch (error) {
      const message = 'a pull was not noted'
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message, reference: key, error })
    }
  }
}

/** A time that lies in the future, for the clock was set back, is as good as none. */
const isWithin = (ms: number, before: number | undefined, now: number): boolean =>
  before !== undefined && before <= now && now - before < ms
