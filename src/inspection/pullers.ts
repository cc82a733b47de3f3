import type { AccessKey } from '../access/access-key.ts'
import type { Authority, Caller } from '../access/authority.ts'
import { anonymousPolicies } from '../access/built-in-policies.ts'
import type { PolicyDocument } from '../access/policy-document.ts'
import { anonymous, keyUser, type Principal, passwordUser } from '../access/principal.ts'

/** Users who log in by a password, and what each of them has. */
export type PasswordLogins = { names: readonly string[]; policies: readonly PolicyDocument[] }

export type PullersOptions = {
  mode: 'open' | 'required'
  registryId: string
  authority: Authority
  keys: () => readonly AccessKey[]
  /** `undefined` where nobody logs in so. Rejects where the users are not known. */
  passwordLogins: () => Promise<PasswordLogins | undefined>
  /** Whether clients come by TLS. */
  secure: boolean
  /** Whether they need a certificate to come at all. */
  certified: boolean
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

/** Who may pull from a repository, as policies stand now: conditions on addresses are asked about this machine's. */
export async function pullersOf(repository: string, options: PullersOptions): Promise<Puller[]> {
  const { mode, registryId, keys, certified } = options
  if (mode === 'open') {
    const name = certified ? 'whoever has a client certificate' : 'everybody'
    return [{ name, ...(await rights(anonymous, anonymousPolicies, repository, options)) }]
  }
  const pullers: Puller[] = []
  for (const key of keys()) {
    const may = await rights(keyUser(registryId, key), key.policies, repository, options)
    pullers.push({ name: key.user, key: key.id, ...may })
  }
  return [...pullers, ...(await passwordUsers(repository, options))]
}

async function passwordUsers(repository: string, options: PullersOptions): Promise<Puller[]> {
  const logins = await options.passwordLogins().catch((error: Error) => error)
  if (logins instanceof Error) return [{ name: 'users with passwords', may: 'nothing', why: logins.message }]
  const pullers: Puller[] = []
  for (const name of logins?.names ?? []) {
    const principal = passwordUser(options.registryId, name)
    pullers.push({ name, ...(await rights(principal, logins?.policies ?? [], repository, options)) })
  }
  return pullers
}

async function rights(
  principal: Principal,
  identity: readonly PolicyDocument[],
  repository: string,
  { authority, secure }: PullersOptions,
): Promise<Pick<Puller, 'may' | 'why'>> {
  const caller: Caller = { principal, identity, context: { sourceIp: '127.0.0.1', secureTransport: secure } }
  const resource = authority.repositoryArn(repository)
  for (const action of needed) {
    const why = await authority.refusal(caller, action, resource)
    if (why !== undefined) return { may: 'nothing', why }
  }
  const why = await authority.refusal(caller, neededToFetch, resource)
  return why === undefined ? { may: 'anything' } : { may: 'cached', why }
}
