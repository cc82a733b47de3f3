import type { Digest } from '../oci/digest.ts'
import { blobUnknown, corrupt, rangeInvalid } from '../oci/errors.ts'
import { type ByteRange, type RangeSpec, resolveRange } from '../oci/range.ts'
import type { Descriptor, Pull } from '../oci/registry.ts'
import { assertFound } from './answers.ts'
import type { Client, Question } from './client.ts'
import type { Incoming } from './incoming.ts'

/** A blob whose bytes begin to arrive: `incoming` starts at byte `start` of the `descriptor.size` of the whole. */
export type Opening = { incoming: Incoming; descriptor: Descriptor; range: ByteRange; start: number }

export async function statBlob(client: Client, repository: string, digest: Digest, pull?: Pull): Promise<Descriptor> {
  const { incoming, foreign } = await client.ask(blobQuestion(client, 'HEAD', repository, digest, pull))
  // Signed URLs are often good for GET alone.
  if (incoming.status === 405 || (incoming.status === 403 && foreign)) {
    await incoming.drop()
    return sizeByRange(client, repository, digest, pull)
  }
  await assertFound(incoming, foreign, blobUnknown(repository, digest))
  await incoming.drop()
  if (incoming.length === undefined) throw corrupt(`${incoming.host} does not tell the size of blob ${digest}`)
  return descriptorOf(digest, incoming.length)
}

/**
 * Asks for a blob, or for the part of it that `spec` names. Whether upstream heeds the range or sends the whole, what
 * it declares is checked before this resolves. The caller owns `incoming`.
 */
export async function openBlob(
  client: Client,
  repository: string,
  digest: Digest,
  spec: RangeSpec | undefined,
  pull?: Pull,
): Promise<Opening> {
  const headers: Record<string, string> = spec ? { range: rangeHeader(spec) } : {}
  const question = blobQuestion(client, 'GET', repository, digest, pull, headers)
  const { incoming, foreign } = await client.ask(question)
  try {
    if (incoming.status === 416) throw rangeInvalid(await sizeOfAll(client, repository, digest, incoming, pull))
    const part = incoming.status === 206 ? partOf(incoming) : undefined
    if (!part) await assertFound(incoming, foreign, blobUnknown(repository, digest))
    const size = part?.size ?? (await sizeOfAll(client, repository, digest, incoming, pull))
    const range = spec ? resolveRange(spec, size) : { start: 0, end: size - 1 }
    if (part && part.start !== range.start) throw corrupt(`${incoming.host} sent another range than the one asked for`)
    incoming.detach()
    return { incoming, descriptor: descriptorOf(digest, size), range, start: part?.start ?? 0 }
  } catch (error) {
    incoming.destroy()
    throw error
  }
}

function blobQuestion(
  client: Client,
  method: Question['method'],
  repository: string,
  digest: Digest,
  pull: Pull | undefined,
  headers: Record<string, string> = {},
): Question {
  const url = new URL(`/v2/${repository}/blobs/${digest}`, client.rule.upstream)
  return { kind: 'blob', method, url, repository, headers: { accept: '*/*', ...headers }, pull }
}

async function sizeByRange(client: Client, repository: string, digest: Digest, pull?: Pull): Promise<Descriptor> {
  const question = blobQuestion(client, 'GET', repository, digest, pull, { range: 'bytes=0-0' })
  const { incoming, foreign } = await client.ask(question)
  try {
    // An empty blob has no first byte.
    const size = incoming.status === 416 ? totalIn(incoming) : undefined
    if (size !== undefined) return descriptorOf(digest, size)
    const part = incoming.status === 206 ? partOf(incoming) : undefined
    if (!part) await assertFound(incoming, foreign, blobUnknown(repository, digest))
    const found = part?.size ?? incoming.length
    if (found === undefined) throw corrupt(`${incoming.host} does not tell the size of blob ${digest}`)
    return descriptorOf(digest, found)
  } finally {
    await incoming.drop()
  }
}

/** The size of the whole where the answer does not hold a part of it. */
async function sizeOfAll(client: Client, repository: string, digest: Digest, incoming: Incoming, pull?: Pull) {
  const told = incoming.status === 416 ? totalIn(incoming) : incoming.length
  return told ?? (await statBlob(client, repository, digest, pull)).size
}

function partOf(incoming: Incoming): { start: number; size: number } {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(incoming.header('content-range') ?? '')
  const [start = -1, end = -1, size = -1] = match?.slice(1).map(Number) ?? []
  const sound = match !== null && start <= end && end < size && (incoming.length ?? end - start + 1) === end - start + 1
  if (!sound) throw corrupt(`${incoming.host} sent a range without saying which`)
  return { start, size }
}

function totalIn(incoming: Incoming): number | undefined {
  const match = /^bytes \*\/(\d{1,15})$/.exec(incoming.header('content-range') ?? '')
  return match ? Number(match[1]) : undefined
}

const rangeHeader = (spec: RangeSpec): string =>
  'suffix' in spec ? `bytes=-${spec.suffix}` : `bytes=${spec.start}-${spec.end ?? ''}`

/** What upstreams say of the type of a blob is noise. */
const descriptorOf = (digest: Digest, size: number): Descriptor => ({
  mediaType: 'application/octet-stream',
  digest,
  size,
})
