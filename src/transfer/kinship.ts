import type { Digest } from '../oci/digest.ts'
import { isKind } from '../oci/errors.ts'
import type { Holdings } from './holdings.ts'

/** How the manifests that a repository holds belong together. */
export type Kinship = {
  /** Those that an index lists. */
  listed: ReadonlySet<Digest>
  /** Those that are about a subject, by that. */
  referrers: ReadonlyMap<Digest, readonly Digest[]>
  /** Those that are about one. */
  about: ReadonlyMap<Digest, Digest>
}

/** Reads every manifest of the repository. One that is damaged is no kin of anything: whoever wants it finds out. */
export async function kinshipOf(repository: string, holdings: Holdings): Promise<Kinship> {
  const listed = new Set<Digest>()
  const about = new Map<Digest, Digest>()
  for await (const { digest } of holdings.images.list(repository)) {
    const content = await holdings.content(repository, digest).catch(ifDamaged)
    for (const child of content?.manifests ?? []) listed.add(child.digest)
    if (content?.subject) about.set(digest, content.subject)
  }
  const referrers = new Map<Digest, Digest[]>()
  for (const [digest, subject] of about) referrers.set(subject, [...(referrers.get(subject) ?? []), digest])
  return { listed, referrers, about }
}

function ifDamaged(error: unknown): undefined {
  if (!isKind(error, 'corrupt')) throw error
}
