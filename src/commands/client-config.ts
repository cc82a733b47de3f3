import { clientNamed, clients } from '../clients/all.ts'
import type { Client, Recipe } from '../clients/client.ts'
import { homesOf } from '../config/homes.ts'
import { ConfigError, loadConfig } from '../config.ts'
import { ChangedSince, type Placed, Placement, type Undone } from '../files/placement.ts'
import { type Asked, setupOf } from './client-setup.ts'
import { only, parsed } from './options.ts'
import { printedRecipe, printedSteps } from './print-recipe.ts'

const own = {
  rule: { type: 'string', multiple: true },
  url: { type: 'string' },
  ca: { type: 'string' },
  'client-cert': { type: 'string' },
  'client-key': { type: 'string' },
  fallback: { type: 'boolean' },
  user: { type: 'boolean' },
  root: { type: 'string' },
  write: { type: 'boolean' },
  undo: { type: 'boolean' },
  force: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

/**
 * Says what has to be written where, so that a client pulls through this instance; `--write` does it on this machine,
 * `--undo` takes it back. Throws `ConfigError`, and what goes wrong on the way.
 */
export async function clientConfig(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, own)
  const known = clients.map(({ name }) => name).join(', ')
  const name = only(positionals, 'client-config', `one client: ${known}`)
  const client = clientNamed(name)
  if (!client) throw new ConfigError([`there is no set-up of ${name}; there is one of ${known}`])
  const { write = false, undo = false, force = false, json = false, root } = options
  if (write && undo) throw new ConfigError(['--write and --undo contradict each other'])
  if (force && !undo) throw new ConfigError(['--force goes with --undo'])
  if (root !== undefined && !write && !undo) throw new ConfigError(['--root goes with --write and --undo'])
  const user = homes(client, options.user ?? false)
  const records = user ? `${user.state}/cistern/clients` : '/var/lib/cistern-clients'
  const placement = new Placement({ name: client.name, records, ...(root !== undefined && { root }) })
  const reload = client.reload ? [client.reload(user !== undefined)] : []
  if (undo) return takeBack(placement, reload, { force, json })

  const asked: Asked = {
    ...{ rules: options.rule ?? [], url: options.url, ca: options.ca, fallsBack: options.fallback ?? true },
    ...{ certificate: options['client-cert'], key: options['client-key'], user },
  }
  const { setup, notes, registries } = await setupOf(asked, loadConfig(others))
  const made = client.recipe(setup)
  const recipe: Recipe = { ...made, run: [...reload, ...made.run], notes: [...made.notes, ...notes] }
  if (write) return putInPlace(client, placement, recipe, json)
  process.stdout.write(json ? `${JSON.stringify(plain(client, recipe, registries))}\n` : printedRecipe(recipe))
  return 0
}

function homes({ name, perUser }: Client, asked: boolean) {
  if (asked && perUser === 'never') throw new ConfigError([`there is no set-up of ${name} for one user`])
  return asked || perUser === 'always' ? homesOf() : undefined
}

async function putInPlace(client: Client, placement: Placement, recipe: Recipe, json: boolean): Promise<number> {
  if (recipe.files.length === 0) {
    throw new ConfigError([`${client.name} has nothing to write on this machine; without --write it is printed`])
  }
  const files = recipe.files.map(({ path, content, merges, isSecret }) => ({
    ...{ path, content: merges ? content : () => content(undefined) },
    ...(isSecret && { isSecret }),
  }))
  const placed = await placement.write(files).catch(told('--undo --force'))
  const { run, notes } = recipe
  process.stdout.write(json ? `${JSON.stringify({ ...placed, run, notes })}\n` : printedPlaced(placed, recipe))
  return 0
}

function printedPlaced({ wrote, kept, gaveBack }: Placed, recipe: Recipe): string {
  const lines = [
    ...wrote.map((path) => `wrote ${path}${kept.includes(path) ? '; what was there is beside it' : ''}`),
    ...gaveBack.map((path) => `took back ${path}`),
    ...(wrote.length + gaveBack.length === 0 ? ['all is in place already'] : []),
  ]
  return `${lines.join('\n')}\n${printedSteps(recipe)}`
}

/** Says what helps where others have changed what was written. */
const told =
  (way: string) =>
  (error: unknown): never => {
    throw error instanceof ChangedSince ? new Error(`${error.message}; ${way} takes all back none the less`) : error
  }

type Undoing = { force: boolean; json: boolean }

async function takeBack(placement: Placement, run: readonly string[], { force, json }: Undoing): Promise<number> {
  const undone = await placement.undo({ anyway: force }).catch(told('--force'))
  process.stdout.write(json ? `${JSON.stringify({ ...undone, run })}\n` : printedUndone(undone, run))
  return 0
}

function printedUndone({ gaveBack, removed }: Undone, run: readonly string[]): string {
  const lines = [...gaveBack.map((path) => `gave back ${path}`), ...removed.map((path) => `removed ${path}`)]
  return lines.length === 0
    ? 'there is nothing to take back\n'
    : `${lines.join('\n')}\n${printedSteps({ run, notes: [] })}`
}

/** For programs. A secret is named, and not told. */
const plain = ({ name }: Client, { files, document, run, notes }: Recipe, registries: Record<string, string>) => ({
  ...{ client: name, registries },
  files: files.map(({ path, content, copyOf, merges = false }) =>
    copyOf === undefined ? { path, content: content(undefined), merges } : { path, copyOf },
  ),
  ...(document !== undefined && { document }),
  ...{ run, notes },
})
