import type { Facts } from './condition.ts'
import { decide } from './policy.ts'
import type { PolicyDocument } from './policy-document.ts'
import type { Principal } from './principal.ts'

/** Somebody who asks for something, as far as it decides whether they may. */
export type Caller = {
  readonly principal: Principal
  /** The documents of the principal itself. */
  readonly identity: readonly PolicyDocument[]
  readonly context: Omit<Facts, 'principalArn' | 'resourceTags'>
}

/** Who may do what in one registry: the one place that asks policies. */
export class Authority {
  readonly #registry: { readonly id: string; readonly region: string }

  constructor(registry: { readonly id: string; readonly region: string }) {
    this.#registry = registry
  }

  /** `repository` is a name of ours, or `*` for all of them. */
  repositoryArn(repository: string): string {
    const { id, region } = this.#registry
    return `arn:aws:ecr:${region}:${id}:repository/${repository}`
  }

  async allows(caller: Caller, action: string, resource: string): Promise<boolean> {
    return (await this.refusal(caller, action, resource)) === undefined
  }

  /** Why the caller may not, in AWS's words; `undefined` where they may. */
  async refusal(
    { principal, identity, context }: Caller,
    action: string,
    resource: string,
  ): Promise<string | undefined> {
    const decision = decide({ principal, identity, action, resource, context })
    if (decision === 'allow') return undefined
    const who = 'arn' in principal ? principal.arn : principal.name
    const why =
      decision === 'deny'
        ? 'with an explicit deny in a policy'
        : `because no identity-based policy allows the ${action} action`
    return `User: ${who} is not authorized to perform: ${action} on resource: ${resource} ${why}`
  }
}
