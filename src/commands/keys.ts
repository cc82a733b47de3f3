import { access, mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { builtInPolicies } from '../access/built-in-policies.ts'
import { KeyRing, type KeySummary, type RevealedKey, revealed } from '../access/keys.ts'
import { PolicyError } from '../access/policy-error.ts'
import { loadPolicies } from '../access/policy-reference.ts'
import { isUserName } from '../access/principal.ts'
import { type Config, ConfigError, loadConfig } from '../config.ts'
import { lockDataDir } from '../metadata/lock.ts'
import { askInstance } from './control.ts'

/**
 * Makes, lists or revokes access keys: has the running instance do it, or does it by itself where none runs. A new key
 * is printed once, and nowhere else. Throws `ConfigError`, `DataDirInUse`, and what goes wrong on the way.
 */
export async function keys([action, ...args]: readonly string[]): Promise<number> {
  if (action === 'create') return create(args)
  if (action === 'list') return list(args)
  if (action === 'revoke') return revoke(args)
  throw new ConfigError(['keys is followed by create, list or revoke'])
}

async function create(args: readonly string[]): Promise<number> {
  const { own, others } = parted(args, ['user', 'policy', 'json'])
  const config = loadConfig(others)
  const { user, policies } = await checked(own)
  const query = new URLSearchParams([['user', user], ...policies.map((policy) => ['policy', policy])])
  const answer = await askInstance(config.dataDir, `/keys?${query}`)
  const key = (answer as RevealedKey | undefined) ?? (await createHere(config, user, policies))
  const variables = `AWS_ACCESS_KEY_ID=${key.id}\nAWS_SECRET_ACCESS_KEY=${key.secret}`
  process.stdout.write(`${own.json ? JSON.stringify(key) : variables}\n`)
  return 0
}

async function createHere(config: Config, user: string, policies: string[]): Promise<RevealedKey> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  return withRing(config, async (ring) => revealed(await ring.create({ user, policies })))
}

async function list(args: readonly string[]): Promise<number> {
  const { own, others } = parted(args, ['json'])
  const config = loadConfig(others)
  const answer = await askInstance(config.dataDir, '/keys', 'GET')
  const { keys } =
    (answer as { keys: KeySummary[] } | undefined) ?? (await withRing(config, async (ring) => ({ keys: ring.list() })))
  process.stdout.write(own.json ? `${JSON.stringify(keys)}\n` : keys.map(printed).join(''))
  return 0
}

async function revoke([id = '', ...args]: readonly string[]): Promise<number> {
  if (!/^\w{3,128}$/.test(id)) throw new ConfigError(['keys revoke is followed by the id of an access key'])
  const config = loadConfig(args)
  const answer = await askInstance(config.dataDir, `/keys/${id}`, 'DELETE')
  const { revoked } =
    (answer as { revoked: boolean } | undefined) ??
    (await withRing(config, async (ring) => ({ revoked: await ring.revoke(id) })))
  if (!revoked) throw new Error(`there is no access key ${id}`)
  return 0
}

/** The keys of a data directory that no instance has, for as long as `use` takes. */
async function withRing<T>(config: Config, use: (ring: KeyRing) => Promise<T>): Promise<T> {
  const { accessKeys: configured, dataDir } = config
  await access(dataDir).catch((cause: unknown) => {
    throw new Error(`there is no cache in ${dataDir}`, { cause })
  })
  using _lock = lockDataDir(dataDir)
  return await use(await KeyRing.open({ configured, dataDir, makesFirst: false }))
}

type Own = { user?: string; policy?: string[]; json?: boolean }

/** Parts the options `names` from those that set keys of the configuration. */
function parted(args: readonly string[], names: readonly (keyof Own)[]): { own: Own; others: string[] } {
  const known = {
    user: { type: 'string' },
    policy: { type: 'string', multiple: true },
    json: { type: 'boolean' },
  } as const
  const { tokens } = parseArgs({ args: [...args], options: known, strict: false, tokens: true })
  const taken = new Set<number>()
  for (const token of tokens) {
    if (token.kind !== 'option' || !names.some((name) => name === token.name)) continue
    taken.add(token.index)
    if (token.value !== undefined && !token.inlineValue) taken.add(token.index + 1)
  }
  const others = args.filter((_, index) => !taken.has(index))
  try {
    const { values } = parseArgs({ args: args.filter((_, index) => taken.has(index)), options: known })
    return { own: values, others }
  } catch (error) {
    throw new ConfigError([(error as Error).message])
  }
}

/** Files of policies by their whole path: the instance that reads them may work elsewhere. */
async function checked({ user = '', policy = [] }: Own): Promise<{ user: string; policies: string[] }> {
  const policies = policy.map((reference) => (builtInPolicies.has(reference) ? reference : resolve(reference)))
  if (!isUserName(user)) throw new ConfigError(['--user is 1 to 64 letters, digits and _+=,.@-'])
  try {
    await loadPolicies(policies)
  } catch (error) {
    throw error instanceof PolicyError ? new ConfigError([`--policy: ${error.message}`]) : error
  }
  return { user, policies }
}

function printed({ id, user, policies, source, createdAt }: KeySummary): string {
  const since = createdAt === undefined ? `of the ${source}` : new Date(createdAt).toISOString()
  return `${[id, user, since, policies.join(', ') || 'no policies'].join('  ')}\n`
}
