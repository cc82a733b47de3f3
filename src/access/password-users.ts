import { BcryptThread } from './bcrypt-thread.ts'
import { Passwords } from './passwords.ts'
import type { PolicyDocument } from './policy-document.ts'
import { loadPolicies, type PolicyReference } from './policy-reference.ts'

export type PasswordUsersOptions = {
  /** As `htpasswd -B` writes it. */
  file: string
  /** Of each of its users. */
  policies: readonly PolicyReference[]
}

/** Those who log in by a password, and what they may. Its owner disposes it. */
export class PasswordUsers implements AsyncDisposable {
  readonly #bcrypt = new BcryptThread()
  readonly #passwords: Passwords
  #policies: readonly PolicyDocument[]

  private constructor(file: string, policies: readonly PolicyDocument[]) {
    this.#passwords = new Passwords({ file, bcrypt: this.#bcrypt })
    this.#policies = policies
  }

  /** Throws `PolicyError`, and for a file that cannot be read. */
  static async open({ file, policies }: PasswordUsersOptions): Promise<PasswordUsers> {
    const users = new PasswordUsers(file, await loadPolicies(policies))
    await users.#passwords.load().catch(({ cause }: Error) => {
      throw new Error(`${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
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

  /** Whether `password` is that of `username`. Throws `unavailable` and `throttled`. */
  verify(username: string, password: string): Promise<boolean> {
    return this.#passwords.verify(username, password)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#bcrypt[Symbol.asyncDispose]()
  }
}
