import { access } from 'node:fs/promises'
import type { Damage, ScrubReport } from '../cache/scrub.ts'
import { type Config, loadConfig } from '../config.ts'
import { askInstance } from './control.ts'
import { openCore } from './core.ts'

/**
 * Has the running instance hash all that it stores, and mend what is damaged; does it by itself where none runs. With
 * `--json` the report is one JSON document. Resolves to 1 where something is still wrong. Throws `ConfigError`,
 * `DataDirInUse`, and what goes wrong on the way.
 */
export async function scrub(args: readonly string[]): Promise<number> {
  const config = loadConfig(args.filter((arg) => arg !== '--json'))
  const answer = await askInstance(config.dataDir, `/scrub?bytesPerSecond=${config.scrub.bytesPerSecond}`)
  const report = (answer as ScrubReport | undefined) ?? (await scrubHere(config))
  process.stdout.write(args.includes('--json') ? `${JSON.stringify(report)}\n` : printed(report))
  return report.skipped === 0 && report.damaged.every(({ healed }) => healed) ? 0 : 1
}

/** There is nobody to be disturbed: it goes as fast as the disk does. */
async function scrubHere(config: Config): Promise<ScrubReport> {
  await access(config.dataDir).catch((cause: unknown) => {
    throw new Error(`there is no cache in ${config.dataDir}`, { cause })
  })
  await using core = await openCore(config)
  return await core.scrubber.run()
}

function printed({ checked, bytes, skipped, damaged, durationMs }: ScrubReport): string {
  const healed = damaged.filter(({ healed }) => healed).length
  const lines = [
    `${checked} blobs of ${bytes} bytes checked in ${(durationMs / 1000).toFixed(1)} s`,
    `${damaged.length} damaged, ${healed} healed`,
    ...damaged.map(printedDamage),
    ...(skipped > 0 ? [`${skipped} could not be opened just now`] : []),
  ]
  return `${lines.join('\n')}\n`
}

const printedDamage = ({ digest, healed, reason }: Damage): string =>
  `  ${digest} ${healed ? 'healed' : 'not healed'}${reason === undefined ? '' : `: ${reason}`}`
