/** What proves to an upstream who we are. */
export type Credential = { username: string; password: string }

/** Where the credential of one rule comes from. Safe for any number of callers at once. */
export interface Credentials {
  /**
   * The credential to use now; `undefined` means anonymous. Sources that cost a request or a read keep what they got
   * for minutes. Throws `unavailable` where the source cannot be reached or read, with a message free of secrets.
   */
  get(): Promise<Credential | undefined>
  /** Upstream refused this credential: the next `get` asks the source anew. */
  reject(credential: Credential): void
}

/** Secrets that are kept here: `undefined` for those that are not. */
export type LocalSecrets = {
  /** By its ARN, whole or without its random end. */
  find(arn: string): { readonly arn: string } | undefined
  /** Throws where one is kept and cannot be decrypted. */
  valueOf(arn: string): string | undefined
}

/** Why a secret is no credential: it is not there, cannot be fetched, or does not hold what it should. */
export type SecretFault = 'missing' | 'inaccessible' | 'unreadable'
