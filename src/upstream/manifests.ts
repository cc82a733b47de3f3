import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { corrupt, manifestUnknown } from '../oci/errors.ts'
import { bareType, isManifestType, manifestAccept, manifestMediaType, maxManifestSize } from '../oci/manifest.ts'
import { type Reference, referenceText } from '../oci/reference.ts'
import type { Descriptor, Manifest, Pull } from '../oci/registry.ts'
import { assertFound } from './answers.ts'
import type { Client, Question } from './client.ts'
import type { Incoming } from './incoming.ts'

/** The descriptor as HEAD tells it; `undefined` where it does not tell enough. */
export async function headManifest(client: Client, reference: Reference, pull?: Pull): Promise<Descriptor | undefined> {
  const { incoming, foreign } = await client.ask(manifestQuestion(client, 'HEAD', reference, pull))
  // Signed URLs are often good for GET alone.
  if (incoming.status === 405 || (incoming.status === 403 && foreign)) {
    await incoming.drop()
    return undefined
  }
  await assertFound(incoming, foreign, manifestUnknown(reference.repository, referenceText(reference)))
  await incoming.drop()
  const stated = statedDigest(incoming)
  const digest = 'digest' in reference ? reference.digest : stated
  const mediaType = bareType(incoming.header('content-type'))
  if (digest && stated) assertSame(incoming.host, digest, stated)
  if (!digest || !incoming.length || !isManifestType(mediaType)) return undefined
  return { mediaType, digest, size: incoming.length }
}

/** A manifest that is what its digests and its media type say. */
export async function getManifest(client: Client, reference: Reference, pull?: Pull): Promise<Manifest> {
  const { incoming, foreign } = await client.ask(manifestQuestion(client, 'GET', reference, pull))
  await assertFound(incoming, foreign, manifestUnknown(reference.repository, referenceText(reference)))
  const bytes = await incoming.read(maxManifestSize)
  const stated = statedDigest(incoming)
  const expected = 'digest' in reference ? reference.digest : stated
  const digest = digestOf(bytes, expected && algorithmOf(expected))
  if (expected) assertSame(incoming.host, expected, digest)
  if (stated) assertSame(incoming.host, stated, digest)
  const mediaType = manifestMediaType(bytes, incoming.header('content-type'))
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes }
}

function manifestQuestion(
  client: Client,
  method: Question['method'],
  reference: Reference,
  pull: Pull | undefined,
): Question {
  const { repository } = reference
  const url = new URL(`/v2/${repository}/manifests/${referenceText(reference)}`, client.rule.upstream)
  return { kind: 'manifest', method, url, repository, headers: { accept: manifestAccept }, pull }
}

function statedDigest(incoming: Incoming): Digest | undefined {
  const text = incoming.header('docker-content-digest')
  return text !== undefined && isDigest(text) ? text : undefined
}

/** Digests of different algorithms say nothing about each other. */
function assertSame(host: string, expected: Digest, found: Digest): void {
  const comparable = algorithmOf(expected) === algorithmOf(found)
  if (comparable && expected !== found) throw corrupt(`${host} sent another manifest than ${expected}`)
}
