import { access, readFile, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { type Config, ConfigError, loadConfig } from '../config.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { ExportReport } from '../transfer/export.ts'
import { digestsIn, maxInventory, printedInventory } from '../transfer/inventory.ts'
import type { Incomplete } from '../transfer/plan.ts'
import { type AskedExport, platformsOf } from '../transfer/request.ts'
import { type BundleTarget, openTarget, writeWhole } from './bundle-file.ts'
import { chunksOf, requestInstance } from './control.ts'
import { interruptible } from './interrupt.ts'
import { parsed } from './options.ts'
import { printedCount, printedLacks, printedSize } from './print.ts'
import { atTransfers } from './transfer.ts'

const own = {
  out: { type: 'string' },
  platform: { type: 'string', multiple: true },
  referrers: { type: 'boolean' },
  partial: { type: 'boolean' },
  since: { type: 'string', multiple: true },
  inventory: { type: 'string' },
  json: { type: 'boolean' },
} as const

/**
 * Puts what is cached into a bundle. Resolves to 1 where something is not whole. Throws `ConfigError`, and what goes wrong
 * on the way: there is no bundle then.
 */
export async function exporting(args: readonly string[]): Promise<number> {
  const { options, positionals: names, others } = parsed(args, own)
  const { out, platform = [], referrers = true, partial = false, since = [], inventory, json = false } = options
  if (out === undefined) throw new ConfigError(['export wants --out FILE, or --out - for the standard output'])
  if (out === '-' && process.stdout.isTTY) throw new ConfigError(['a bundle is nothing for a terminal to show'])
  const config = loadConfig(others)
  const platforms = asUsage(() => platformsOf(platform))
  const asked = { names, platforms, referrers, partial, since: [...(await inventories(since))] }
  const report = await interruptible((signal) => exportTo(out, asked, config, signal))
  if (report.inventory && inventory !== undefined) await writeWhole(inventory, printedInventory(report.inventory))
  const text = json ? `${JSON.stringify(report)}\n` : printed(out, report)
  ;(out === '-' ? process.stderr : process.stdout).write(text)
  return report.inventory && report.incomplete.every(({ reason }) => reason === undefined) ? 0 : 1
}

async function exportTo(out: string, asked: AskedExport, config: Config, signal: AbortSignal): Promise<ExportReport> {
  const response = await requestInstance(
    config.dataDir,
    '/export',
    { method: 'POST', headers: { 'Content-Type': 'application/json' }, signal },
    (asking) => void asking.end(JSON.stringify(asked)),
  )
  if (response) return receive(response, out).finally(() => response.destroy())
  await access(config.dataDir).catch((cause: unknown) => {
    throw new Error(`there is no cache in ${config.dataDir}`, { cause })
  })
  return atTransfers(config, async (transfers) => {
    const { report, bundle } = await transfers.export(asked)
    await using owned = bundle
    if (owned) await keepIn(out, (target) => owned.sendTo(target, signal))
    return report
  })
}

/** What an instance answers: a line that tells, and the bundle. */
async function receive(response: IncomingMessage, out: string): Promise<ExportReport> {
  const chunks = chunksOf(response)
  const { line, rest } = await firstLine(chunks)
  const report = JSON.parse(line) as ExportReport
  if (!report.inventory) return report
  await keepIn(out, async (target) => {
    await target.write(rest)
    for await (const chunk of chunks) await target.write(chunk)
  })
  return report
}

/** `chunks` goes on after what is the rest. */
async function firstLine(chunks: AsyncGenerator<Buffer>): Promise<{ line: string; rest: Buffer }> {
  const head: Buffer[] = []
  for (;;) {
    const { value, done } = await chunks.next()
    if (done) throw new Error('the running instance did not say what it exports')
    const end = value.indexOf('\n')
    head.push(end < 0 ? value : value.subarray(0, end))
    if (end >= 0) return { line: Buffer.concat(head).toString(), rest: value.subarray(end + 1) }
  }
}

async function keepIn(out: string, send: (target: BundleTarget) => Promise<void>): Promise<void> {
  await using target = await openTarget(out)
  await send(target)
  await target.keep()
}

async function inventories(paths: readonly string[]): Promise<Set<Digest>> {
  const digests = new Set<Digest>()
  for (const path of paths) {
    if ((await stat(path)).size > maxInventory) throw new Error(`${path} is longer than an inventory may be`)
    const text = await readFile(path, 'utf8')
    for (const digest of asUsage(() => digestsIn(text), `--since ${path}: `)) digests.add(digest)
  }
  return digests
}

/** What is wrong with what was typed is a matter of usage. */
function asUsage<T>(read: () => T, prefix = ''): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof RegistryError ? new ConfigError([`${prefix}${error.message}`]) : error
  }
}

function printed(out: string, { inventory, incomplete, bytes }: ExportReport): string {
  const lines = incomplete.map(printedIncomplete)
  if (!inventory) lines.push(`nothing was exported: --partial exports what is there, --platform what is meant`)
  else {
    const { images, blobs, base } = inventory
    const [count, left] = [Object.keys(blobs).length, Object.keys(base).length]
    const besides = left > 0 ? `; ${left} more ${left === 1 ? 'is' : 'are'} left out, which the other side has` : ''
    lines.push(
      `${out}: ${printedCount(images.length, 'image')}, ${printedCount(count, 'blob')} of ${printedSize(bytes)}${besides}`,
    )
  }
  return `${lines.join('\n')}\n`
}

function printedIncomplete({ reference, reason, included, ...lacks }: Incomplete): string {
  return `${reference} is ${included ? 'in it in part' : 'not in it'}: ${reason ?? printedLacks(lacks)}`
}
