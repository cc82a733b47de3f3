/** Why a secret cannot be had: `undecryptable` was sealed with another key, or changed since. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
  readonly reason: 'exists' | 'missing' | 'undecryptable'

  constructor(reason: SecretError['reason']) {
    super(`the secret is ${reason === 'exists' ? 'there already' : reason}`)
    this.reason = reason
  }
}
