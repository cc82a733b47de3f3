import { LRUCache } from 'lru-cache'
import type { Facts } from './condition.ts'
import { decide } from './policy.ts'
import { type PolicyDocument, parsePolicy } from './policy-document.ts'
import type { Principal } from './principal.ts'

/** Somebody who asks for something, as far as it decides whether they may. */
export type Caller = {
  readonly principal: Principal
  /** The documents of the principal itself. */
  readonly identity: readonly PolicyDocument[]
  readonly context: Omit<Facts, 'principalArn' | 'resourceTags'>
}

/** The policies of resources, in JSON, as they were checked when they were set. `Settings` has them. */
export type ResourcePolicies = {
  of(repository: string): Promise<{ policy?: string; tags?: readonly (readonly [key: string, value: string])[] }>
  registry(): Promise<{ policy?: string }>
}

const maxDocuments = 1000

/** Who may do what in one registry: the one place that asks policies. */
export class Authority {
  readonly #registry: { readonly id: string; readonly region: string }
  readonly #policies: ResourcePolicies
  /** By their text. */
  readonly #documents = new LRUCache<string, PolicyDocument>({ max: maxDocuments })

  constructor(registry: { readonly id: string; readonly region: string }, policies: ResourcePolicies) {
    this.#registry = registry
    this.#policies = policies
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
    const registry = await this.#policies.registry()
    const repository = this.#repositoryIn(resource)
    const { policy, tags } = repository === undefined ? {} : await this.#policies.of(repository)
    const decision = decide({
      principal,
      identity,
      action,
      resource,
      context: { ...context, ...(tags && { resourceTags: new Map(tags) }) },
      repositoryPolicy: this.#document(policy, 'repository'),
      registryPolicy: this.#document(registry.policy, 'registry'),
    })
    if (decision === 'allow') return undefined
    const who = 'arn' in principal ? principal.arn : principal.name
    const why =
      decision === 'deny'
        ? 'with an explicit deny in a policy'
        : `because no identity-based policy allows the ${action} action`
    return `User: ${who} is not authorized to perform: ${action} on resource: ${resource} ${why}`
  }

  #repositoryIn(resource: string): string | undefined {
    const prefix = this.repositoryArn('')
    const repository = resource.startsWith(prefix) ? resource.slice(prefix.length) : '*'
    return repository === '*' ? undefined : repository
  }

  #document(text: string | undefined, kind: 'repository' | 'registry'): PolicyDocument | undefined {
    if (text === undefined) return undefined
    const key = `${kind} ${text}`
    const document = this.#documents.get(key) ?? parsePolicy(text, kind)
    this.#documents.set(key, document)
    return document
  }
}
