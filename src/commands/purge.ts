import { loadConfig } from '../config.ts'
import type { Purged } from '../inspection/purge.ts'
import { askInstance } from './control.ts'
import { atDesk } from './desk.ts'
import { only, parsed } from './options.ts'
import { printedCount, printedSize } from './print.ts'

/**
 * Takes an image or a repository out of the cache. Resolves to 1 where what was named stays, for something else needs it.
 * Throws `ConfigError`, and what goes wrong on the way.
 */
export async function purge(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, { json: { type: 'boolean' } })
  const name = only(positionals, 'purge', 'one reference, or one repository for all that is in it')
  const config = loadConfig(others)
  const answer = await askInstance(config.dataDir, `/purge?${new URLSearchParams({ name })}`)
  const purged = (answer as Purged | undefined) ?? (await atDesk(config, (desk) => desk.purge(name)))
  process.stdout.write(options.json ? `${JSON.stringify(purged)}\n` : printed(purged))
  return purged.referenced.length > 0 && purged.tags.length === 0 ? 1 : 0
}

function printed({ repository, images, tags, referenced, freed }: Purged): string {
  const gone = `${printedCount(images.length, 'image')} and ${printedCount(tags.length, 'tag')} went`
  const lines = [
    `${repository}: ${gone}, and ${printedSize(freed.bytes)} in ${printedCount(freed.objects, 'object')}`,
    ...referenced.map((digest) => `${digest} stays: an index lists it`),
  ]
  return `${lines.join('\n')}\n`
}
