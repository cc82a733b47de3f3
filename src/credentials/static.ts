import type { Credential, Credentials } from './credentials.ts'
import { FileValue } from './file-value.ts'

/** A credential that stands in the configuration. */
export class StaticCredentials implements Credentials {
  readonly #credential: Credential

  constructor(username: string, password: string) {
    this.#credential = { username, password }
  }

  async get(): Promise<Credential | undefined> {
    return this.#credential
  }

  reject(): void {}
}

/** A user whose password stands in a file, without the newline that editors put at its end. */
export class PasswordFileCredentials implements Credentials {
  readonly #username: string
  readonly #password: FileValue<string>

  constructor(username: string, path: string) {
    this.#username = username
    this.#password = new FileValue(path, (text) => text.replace(/\r?\n$/, ''))
  }

  async get(): Promise<Credential | undefined> {
    return { username: this.#username, password: await this.#password.get() }
  }

  reject(): void {
    this.#password.forget()
  }
}
