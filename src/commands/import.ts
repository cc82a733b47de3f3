import { once } from 'node:events'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { json } from 'node:stream/consumers'
import { type Config, ConfigError, loadConfig } from '../config.ts'
import { isRepository } from '../oci/reference.ts'
import type { ImportedImage, ImportReport, ImportState } from '../transfer/import.ts'
import { requestInstance } from './control.ts'
import { interruptible } from './interrupt.ts'
import { only, parsed } from './options.ts'
import { printedLacks, printedSize } from './print.ts'
import { atTransfers } from './transfer.ts'

const own = { name: { type: 'string' }, partial: { type: 'boolean' }, json: { type: 'boolean' } } as const

/** At once, in bytes. */
const pieceSize = 1024 * 1024

/**
 * Has the running instance take a bundle in, or does it by itself where none runs. Resolves to 1 where something of it is
 * damaged, refused or missing. Throws `ConfigError`, and what keeps the bundle from being taken in: nothing of it is
 * shown then.
 */
export async function importing(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, own)
  const path = only(positionals, 'import', 'one bundle, or - for the standard input')
  const { name, partial = false, json: asJson = false } = options
  if (name !== undefined && !isRepository(name)) throw new ConfigError(['--name is a repository, without a tag'])
  if (path === '-' && process.stdin.isTTY) throw new ConfigError(['a bundle is nothing that a terminal has to give'])
  const config = loadConfig(others)
  const stream = path === '-' ? process.stdin : await openBundle(path)
  const report = await interruptible((signal) =>
    importFrom(piecesOf(stream, path, signal), name, config, signal).finally(() => stream.destroy()),
  )
  process.stdout.write(asJson ? `${JSON.stringify(report)}\n` : printed(report))
  const fine = report.images.every(({ state }) => accepted(state, partial))
  return fine && report.damaged.length === 0 ? 0 : 1
}

const accepted = (state: ImportState, partial: boolean): boolean =>
  state === 'whole' || state === 'in part' || (partial && state === 'incomplete')

async function openBundle(path: string): Promise<Readable> {
  const file = await open(path).catch(({ code }: NodeJS.ErrnoException) => {
    throw new Error(`${path} cannot be read (${code})`)
  })
  if (!(await file.stat()).isDirectory()) return file.createReadStream({ highWaterMark: pieceSize })
  await file.close()
  throw new Error(`${path} is a directory: pack it with tar -C ${path} -cf bundle.tar .`)
}

/** Ends with the signal, whatever it waits for. */
async function* piecesOf(stream: Readable, path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stop = () => stream.destroy(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    yield* stream as AsyncIterable<Buffer>
  } catch (cause) {
    signal.throwIfAborted()
    throw new Error(`${path} cannot be read`, { cause })
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

async function importFrom(
  pieces: AsyncGenerator<Uint8Array>,
  name: string | undefined,
  config: Config,
  signal: AbortSignal,
): Promise<ImportReport> {
  const answered = new AbortController()
  const target = `/import${name === undefined ? '' : `?${new URLSearchParams({ name })}`}`
  try {
    const response = await requestInstance(config.dataDir, target, { method: 'POST', signal }, async (asking) => {
      await once(asking, 'socket')
      if (asking.socket?.connecting) await once(asking.socket, 'connect') // nothing is read that nobody takes
      for await (const piece of pieces) {
        if (!asking.write(piece)) await once(asking, 'drain', { signal: answered.signal })
      }
      asking.end()
    })
    if (response) return (await json(response)) as ImportReport
  } finally {
    answered.abort()
  }
  return atTransfers(config, (transfers) => transfers.import(pieces, { repository: name, signal }))
}

function printed({ images, stored, skipped, damaged, unreferenced }: ImportReport): string {
  const lines = [
    ...images.filter(({ state }) => state !== 'whole').map(printedImage),
    ...damaged.map(({ digest, reason }) => `${digest} is damaged in the bundle: ${reason}`),
    ...(unreferenced.length > 0 ? [`${unreferenced.length} blobs were not kept: no image needs them`] : []),
    `${images.filter(({ state }) => state === 'whole').length} of ${images.length} images are whole: ` +
      `${stored.blobs} blobs of ${printedSize(stored.bytes)} came, ${skipped.blobs} of ${printedSize(skipped.bytes)} were here`,
  ]
  return `${lines.join('\n')}\n`
}

function printedImage({ reference, state, platforms = [], missing = [], missingCount, reason }: ImportedImage): string {
  if (state === 'refused') return `${reference} is refused: ${reason}`
  if (state === 'in part') return `${reference} is here for ${platforms.join(', ')}`
  const lacks = printedLacks({ missing, ...(missingCount !== undefined && { missingCount }) })
  return `${reference} is ${state === 'missing' ? 'not here' : 'here in part'}: ${lacks}`
}
