import { rawPathFault } from './gate.ts'

/** What there is to know of the headers of a request that is nothing out of the ordinary. */
export type Usual = { readonly authorization: string | undefined; readonly userAgent: string }

/** `unusual` is what may change an answer or speaks of a body. */
type Meaning = 'host' | 'authorization' | 'user-agent' | 'unusual' | 'none'

const unusual = [
  ...['range', 'if-range', 'if-none-match', 'if-match', 'if-modified-since', 'if-unmodified-since'],
  ...['content-length', 'transfer-encoding', 'expect', 'upgrade', 'forwarded', 'x-forwarded-for', 'x-forwarded-proto'],
]

const meanings: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['host', 'host'],
  ['authorization', 'authorization'],
  ['user-agent', 'user-agent'],
  ...unusual.map((name): [string, Meaning] => [name, 'unusual']),
])

const maxRemembered = 500

/** Reads the headers of usual requests as they stood on the wire, and remembers how clients spell them. */
export class UsualHeaders {
  readonly #meanings = new Map<string, Meaning>()
  readonly #hosts = new Set<string>()

  /** `undefined` for a request that wants more than that somebody looks up an answer. */
  read(rawHeaders: readonly string[]): Usual | undefined {
    let hosts = 0
    let authorization: string | undefined
    let userAgent: string | undefined
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      const value = rawHeaders[at + 1] ?? ''
      switch (this.#meaningOf(rawHeaders[at] ?? '')) {
        case 'unusual':
          return undefined
        case 'host':
          if (++hosts > 1 || !this.#isHost(value)) return undefined
          break
        case 'authorization':
          if (authorization !== undefined) return undefined
          authorization = value
          break
        case 'user-agent':
          userAgent ??= value
      }
    }
    return hosts === 1 ? { authorization, userAgent: (userAgent ?? '').slice(0, 256) } : undefined
  }

  #meaningOf(name: string): Meaning {
    const known = this.#meanings.get(name)
    if (known) return known
    const meaning = meanings.get(name.toLowerCase()) ?? 'none'
    if (this.#meanings.size < maxRemembered) this.#meanings.set(name, meaning)
    return meaning
  }

  #isHost(value: string): boolean {
    if (this.#hosts.has(value)) return true
    if (rawPathFault('/', [value]) !== undefined) return false
    if (this.#hosts.size < maxRemembered) this.#hosts.add(value)
    return true
  }
}
