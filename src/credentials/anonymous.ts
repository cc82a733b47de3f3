import type { Credential, Credentials } from './credentials.ts'

/** No credential at all. */
export class AnonymousCredentials implements Credentials {
  async get(): Promise<Credential | undefined> {
    return undefined
  }

  reject(): void {}
}
