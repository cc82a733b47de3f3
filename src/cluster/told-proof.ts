import type { SecureContextOptions } from 'node:tls'
import type { Proof } from '../http/certificate.ts'

/** A certificate as the owner last told it: who looks at the files is one process. */
export class ToldProof implements Proof {
  readonly asksClients: boolean
  readonly #followers = new Set<() => void>()
  #context: SecureContextOptions

  constructor({ context, asksClients }: Pick<Proof, 'context' | 'asksClients'>) {
    this.#context = context
    this.asksClients = asksClients
  }

  get context(): SecureContextOptions {
    return this.#context
  }

  take(context: SecureContextOptions): void {
    this.#context = context
    for (const renew of this.#followers) renew()
  }

  follow(renew: () => void): () => void {
    this.#followers.add(renew)
    return () => this.#followers.delete(renew)
  }
}
