import { BcryptThread } from './bcrypt-thread.ts'
import { ClientLimits } from './client-limits.ts'
import { Passwords } from './passwords.ts'
import type { PolicyDocument } from './policy-document.ts'
import { loadPolicies, type PolicyReference } from './policy-reference.ts'

export type PasswordUsersOptions = {
  /** As `htpasswd -B` writes it. */
  file: string
  /** Of each of its users. */
  policies: readonly PolicyReference[]
  /** Milliseconds on a clock that only goes forward. */
  now?: () => number
}

/** Of one client. What was wrong a moment ago is known to be, and is no guess. */
const guessesPerMinute = 60

/**
 * Those who log in by a password, and what they may. Who guesses is held up before the comparisons are that everybody
 * waits for. Its owner disposes it.
 */
export class PasswordUsers implements AsyncDisposable {
  readonly #bcrypt = new BcryptThread()
  readonly #passwords: Passwords
  readonly #guesses: ClientLimits
  #policies: readonly PolicyDocument[]

  private constructor({ file, now }: PasswordUsersOptions, policies: readonly PolicyDocument[]) {
    const clock = now && { now }
    this.#passwords = new Passwords({ file, bcrypt: this.#bcrypt, ...clock })
    this.#guesses = new ClientLimits({ unknownPerMinute: guessesPerMinute, refusal: 'too many wrong logins', ...clock })
    this.#policies = policies
  }

  /** Throws `PolicyError`, and for a file that cannot be read. */
  static async open(options: PasswordUsersOptions): Promise<PasswordUsers> {
    const users = new PasswordUsers(options, await loadPolicies(options.policies))
    await users.#passwords.load().catch(({ cause }: Error) => {
      throw new Error(`${options.file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
    })
    return users
  }

  get policies(): readonly PolicyDocument[] {
    return this.#policies
  }

  /** Puts other policies in force for all users. */
  use(policies: readonly PolicyDocument[]): void {
    this.#policies = policies
  }

  /**
   * Whether `password` is that of `username`. Throws `unavailable` where the file cannot be read, and `throttled` where
   * too many wait for an answer or `client` was wrong too often.
   */
  async verify(username: string, password: string, client: string): Promise<boolean> {
    let charged = false
    const admit = () => {
      this.#guesses.charge(client)
      charged = true
    }
    const right = await this.#passwords.verify(username, password, admit)
    if (right && charged) this.#guesses.refund(client)
    return right
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#bcrypt[Symbol.asyncDispose]()
  }
}
