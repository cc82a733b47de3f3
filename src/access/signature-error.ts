/** Why a signed request is refused, in the names that AWS's clients know. */
export type SignatureFault =
  | 'IncompleteSignatureException'
  | 'InvalidSignatureException'
  | 'MissingAuthenticationTokenException'
  | 'UnrecognizedClientException'

/** The message is written for the client: it quotes only what has passed a strict grammar, and never a secret. */
export class SignatureError extends Error {
  override readonly name: SignatureFault

  constructor(name: SignatureFault, message: string) {
    super(message)
    this.name = name
  }
}
