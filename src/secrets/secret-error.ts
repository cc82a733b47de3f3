/** Why a secret cannot be had or kept: `undecryptable` was sealed with another key, or changed since. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
  readonly reason: 'exists' | 'limit' | 'missing' | 'undecryptable'

  constructor(reason: SecretError['reason']) {
    super(messages[reason])
    this.reason = reason
  }
}

const messages = {
  exists: 'the secret is there already',
  limit: 'there are as many secrets as there may be',
  missing: 'the secret is missing',
  undecryptable: 'the secret is undecryptable',
}
