import { LRUCache } from 'lru-cache'
import { publish } from '../telemetry/events.ts'
import type { Facts } from './condition.ts'
import { decide } from './policy.ts'
import { type PolicyDocument, parsePolicy, readPolicy } from './policy-document.ts'
import { PolicyError } from './policy-error.ts'
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

/** In place of those that are set. */
export type Supposed = { readonly repositoryPolicy?: PolicyDocument; readonly registryPolicy?: PolicyDocument }

const maxDocuments = 1000

const everyone = { Effect: 'Deny', Principal: '*' }

/** What counts for a policy that cannot be read: nobody may anything but look at it, replace it and delete it. */
const unreadable = {
  repository: readPolicy(
    {
      Statement: {
        ...everyone,
        NotAction: ['ecr:GetRepositoryPolicy', 'ecr:SetRepositoryPolicy', 'ecr:DeleteRepositoryPolicy'],
      },
    },
    'repository',
  ),
  registry: readPolicy(
    {
      Statement: {
        ...everyone,
        NotAction: ['ecr:GetRegistryPolicy', 'ecr:PutRegistryPolicy', 'ecr:DeleteRegistryPolicy'],
        Resource: '*',
      },
    },
    'registry',
  ),
}

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
    supposed: Supposed = {},
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
      repositoryPolicy: supposed.repositoryPolicy ?? this.#document(policy, 'repository', repository),
      registryPolicy: supposed.registryPolicy ?? this.#document(registry.policy, 'registry'),
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

  #document(
    text: string | undefined,
    kind: 'repository' | 'registry',
    repository?: string,
  ): PolicyDocument | undefined {
    if (text === undefined) return undefined
    const key = `${kind} ${text}`
    const document = this.#documents.get(key) ?? read(text, kind, repository)
    this.#documents.set(key, document)
    return document
  }
}

/** One that was set can be read, unless a version that knows more set it. */
function read(text: string, kind: 'repository' | 'registry', repository: string | undefined): PolicyDocument {
  try {
    return parsePolicy(text, kind)
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    const message = `the policy of a ${kind} cannot be read, and denies everything until it is replaced or deleted`
    publish('cistern:fault', {
      where: 'metadata',
      kind: 'invalid',
      message,
      ...(repository !== undefined && { repository }),
      error,
    })
    return unreadable[kind]
  }
}
