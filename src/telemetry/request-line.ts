import { describeError, printable, withoutSecrets } from './describe-error.ts'
import type { Events } from './events.ts'

type Request = Events['cistern:request']

const maxRemembered = 2000

/** Builds the log lines of requests by hand, in the form of pino's: there is one for every hit. */
export class RequestLines {
  readonly #clock: () => number
  readonly #quoted = new Map<string, string>()
  #now = Number.NaN
  #time = ''

  /** `clock` is in milliseconds since the epoch. */
  constructor(clock: () => number = Date.now) {
    this.#clock = clock
  }

  line(level: 'info' | 'warn', event: Request): string {
    const { requestId, method, route, repository, reference, upstream, status, bytes, outcome, principal } = event
    return (
      `{"level":"${level}","time":"${this.#instant()}","requestId":${quote(requestId)},"method":${this.#quote(method)}` +
      `,"route":${this.#quote(route)}` +
      (repository === undefined ? '' : `,"repository":${this.#quote(repository)}`) +
      (reference === undefined ? '' : `,"reference":${this.#quote(reference)}`) +
      (upstream === undefined ? '' : `,"upstream":${this.#quote(upstream)}`) +
      `,"status":${status},"bytes":${bytes},"durationMs":${Math.round(event.durationMs * 10) / 10}` +
      (outcome === undefined ? '' : `,"cache":"${outcome.cache}"`) +
      (outcome?.reason === undefined ? '' : `,"reason":"${outcome.reason}"`) +
      `,"aborted":${event.aborted},"client":${this.#quote(event.client)}` +
      (principal === undefined ? '' : `,"principal":${this.#quote(principal)}`) +
      `,"userAgent":${this.#quote(event.userAgent)}` +
      (event.error === undefined ? '' : `,"error":${JSON.stringify(describeError(event.error))}`) +
      ',"msg":"request"}\n'
    )
  }

  #instant(): string {
    const now = this.#clock()
    if (now !== this.#now) this.#time = new Date(now).toISOString()
    this.#now = now
    return this.#time
  }

  /** What is asked for is asked for again, by clients with few names: looked up it costs a third. */
  #quote(text: string): string {
    const known = this.#quoted.get(text)
    if (known !== undefined) return known
    if (this.#quoted.size >= maxRemembered) this.#quoted.clear()
    const quoted = quote(text)
    this.#quoted.set(text, quoted)
    return quoted
  }
}

/** Text of a line, bounded and harmless. Names, digests and addresses are so as they are. */
const quote = (text: string): string =>
  /^[\w.:@/+-]{0,512}$/.test(text) ? `"${text}"` : JSON.stringify(printable(withoutSecrets(text)))
