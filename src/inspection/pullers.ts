import type { AccessKey } from '../access/access-key.ts'
import type { Authority, Caller } from '../access/authority.ts'
import { anonymousPolicies } from '../access/built-in-policies.ts'
import type { PolicyDocument } from '../access/policy-document.ts'
import { anonymous, keyUser, type Principal, passwordUser } from '../access/principal.ts'

export type PullersOptions = {
  mode: 'open' | 'required'
  registryId: string
  authority: Authority
  keys: () => readonly AccessKey[]
  /** Of all users with passwords; `undefined` where there are none. */
  passwordPolicies: () => readonly PolicyDocument[] | undefined
}

/** Somebody who may pull from a repository, or why not. */
export type Puller = {
  name: string
  /** With which access key. */
  key?: string
  /** `cached`: what is cached, and nothing that would have to be fetched. */
  may: 'anything' | 'cached' | 'nothing'
  why?: string
}

const needed = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']
const neededToFetch = 'ecr:BatchImportUpstreamImage'

/** Conditions on where a caller comes from are taken to mean this machine. */
const context = { sourceIp: '127.0.0.1', secureTransport: false }

/** Who may pull from a repository, as policies stand now. */
export async function pullersOf(repository: string, options: PullersOptions): Promise<Puller[]> {
  const { mode, registryId, keys, passwordPolicies, authority } = options
  if (mode === 'open') {
    const caller = callerOf(anonymous, anonymousPolicies)
    return [{ name: 'everybody', ...(await rights(caller, repository, authority)) }]
  }
  const pullers: Puller[] = []
  for (const key of keys()) {
    const caller = callerOf(keyUser(registryId, key), key.policies)
    pullers.push({ name: key.user, key: key.id, ...(await rights(caller, repository, authority)) })
  }
  const identity = passwordPolicies()
  if (identity) {
    const caller = callerOf(passwordUser(registryId, '*'), identity)
    pullers.push({ name: 'users with passwords', ...(await rights(caller, repository, authority)) })
  }
  return pullers
}

const callerOf = (principal: Principal, identity: readonly PolicyDocument[]): Caller => ({
  principal,
  identity,
  context,
})

async function rights(caller: Caller, repository: string, authority: Authority): Promise<Pick<Puller, 'may' | 'why'>> {
  const resource = authority.repositoryArn(repository)
  for (const action of needed) {
    const why = await authority.refusal(caller, action, resource)
    if (why !== undefined) return { may: 'nothing', why }
  }
  const why = await authority.refusal(caller, neededToFetch, resource)
  return why === undefined ? { may: 'anything' } : { may: 'cached', why }
}
