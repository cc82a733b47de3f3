import { createHmac, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { SingleFlight } from '../async/single-flight.ts'
import { unavailable } from '../oci/errors.ts'
import { publish } from '../telemetry/events.ts'
import { type Htpasswd, parseHtpasswd } from './htpasswd.ts'

export type PasswordsOptions = {
  /** As `htpasswd -B` writes it; read again when it changes. */
  file: string
  /** Compares a password with a hash, off the event loop. */
  bcrypt: { compare(password: string, hash: string): Promise<boolean> }
  /** Milliseconds on a clock that only goes forward. */
  now?: () => number
}

const verdictLifeMs = 5 * 60_000
const maxVerdicts = 1000
const maxPasswordLength = 1024

/**
 * The users of an htpasswd file. A comparison is dear, so verdicts are remembered for five minutes, by a keyed hash of
 * what was compared: a user who is changed in the file is compared anew. What was right and what was wrong are
 * remembered apart, so that guessing pushes nobody out.
 */
export class Passwords {
  readonly #file: string
  readonly #bcrypt: PasswordsOptions['bcrypt']
  readonly #secret = randomBytes(32)
  readonly #right: LRUCache<string, true>
  readonly #wrong: LRUCache<string, true>
  readonly #flights = new SingleFlight<boolean>()
  #read: { version: string; htpasswd: Htpasswd } | undefined

  constructor({ file, bcrypt, now }: PasswordsOptions) {
    this.#file = file
    this.#bcrypt = bcrypt
    const options = { max: maxVerdicts, ttl: verdictLifeMs, ttlResolution: 0, ...(now && { perf: { now } }) }
    this.#right = new LRUCache(options)
    this.#wrong = new LRUCache(options)
  }

  /**
   * Whether `password` is that of `username`; an unknown user takes as long as a wrong password. Throws `unavailable`
   * where the file cannot be read, and `throttled` where too many wait for an answer. Where it takes a comparison to
   * know, `admit` is called first, and may throw.
   */
  async verify(username: string, password: string, admit: () => void = () => {}): Promise<boolean> {
    const { users, decoy } = await this.#htpasswd()
    if (password.length > maxPasswordLength) return false
    const known = users.get(username)
    const hash = known ?? decoy
    const key = this.#keyOf(username, hash, password)
    if (this.#right.has(key)) return true
    if (this.#wrong.has(key)) return false
    admit()
    const { result } = this.#flights.do(key, async () => {
      const same = (await this.#bcrypt.compare(password, hash)) && known !== undefined
      const verdicts = same ? this.#right : this.#wrong
      verdicts.set(key, true)
      return same
    })
    return result
  }

  /** Reads the file where it was not read yet. Throws `unavailable` where it cannot be. */
  async load(): Promise<void> {
    await this.#htpasswd()
  }

  #keyOf(username: string, hash: string, password: string): string {
    const compared = JSON.stringify([username, hash, password])
    return createHmac('sha256', this.#secret).update(compared).digest('base64')
  }

  async #htpasswd(): Promise<Htpasswd> {
    try {
      const { ino, size, mtimeNs, ctimeNs } = await stat(this.#file, { bigint: true })
      const version = [ino, size, mtimeNs, ctimeNs].join(' ')
      if (this.#read?.version !== version) {
        const htpasswd = parseHtpasswd(await readFile(this.#file, 'utf8'))
        this.#read = { version, htpasswd }
        this.#report(htpasswd)
      }
      return this.#read.htpasswd
    } catch (cause) {
      throw unavailable('the file of passwords cannot be read', { cause })
    }
  }

  #report({ faults }: Htpasswd): void {
    if (faults.length === 0) return
    const named = [...faults.slice(0, 10), ...(faults.length > 10 ? [`${faults.length - 10} more`] : [])].join('; ')
    publish('cistern:fault', { where: 'credentials', kind: 'invalid', message: `${this.#file}: ${named}` })
  }
}
