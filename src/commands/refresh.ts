import { loadConfig } from '../config.ts'
import type { Refreshed } from '../inspection/refresh.ts'
import { askInstance } from './control.ts'
import { atDesk } from './desk.ts'
import { only, parsed } from './options.ts'

/** Has a tag checked now, whatever its TTL. Throws `ConfigError`, and why it could not be checked. */
export async function refresh(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, { json: { type: 'boolean' } })
  const reference = only(positionals, 'refresh', 'one reference, such as docker.io/library/nginx:1.29')
  const config = loadConfig(others)
  const answer = await askInstance(config.dataDir, `/refresh?${new URLSearchParams({ reference })}`)
  const refreshed = (answer as Refreshed | undefined) ?? (await atDesk(config, (desk) => desk.refresh(reference)))
  process.stdout.write(options.json ? `${JSON.stringify(refreshed)}\n` : printed(refreshed))
  return 0
}

function printed({ repository, tag, before, now }: Refreshed): string {
  if (before === now) return `${repository}:${tag} still points to ${now}\n`
  return `${repository}:${tag} ${before ? `moved from ${before} to` : 'was not cached, and points to'} ${now}\n`
}
