import { subscribe } from '../telemetry/events.ts'

export type Quota = {
  /** Requests. */
  remaining: number
  /** For how long that counts, at most, in milliseconds. */
  leftMs: number
}

/** What upstreams last said of how much they still allow, by host. Its owner disposes it. */
export class Quotas implements Disposable {
  readonly #now: () => number
  readonly #said = new Map<string, { remaining: number; endsAt: number }>()
  readonly #stop: () => void

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#stop = subscribe('cistern:ratelimit', ({ upstream, remaining, windowMs }) => {
      if (remaining === undefined) this.#said.delete(upstream)
      else this.#said.set(upstream, { remaining, endsAt: this.#now() + windowMs })
    })
  }

  /** `undefined` where nothing is known that still counts: upstreams without a limit say nothing. */
  of(host: string): Quota | undefined {
    const said = this.#said.get(host)
    const leftMs = (said?.endsAt ?? 0) - this.#now()
    return said && leftMs > 0 ? { remaining: said.remaining, leftMs } : undefined
  }

  [Symbol.dispose](): void {
    this.#stop()
  }
}
