import type { Digest } from '../oci/digest.ts'
import { referrersTag } from '../oci/reference.ts'

/** https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md: how signatures and the like were kept first. */
const suffixes = ['.sig', '.att', '.sbom']

export const signatureTags = (subject: Digest): string[] =>
  suffixes.map((suffix) => `${subject.replace(':', '-')}${suffix}`)

/** The tags under which things about a manifest are kept where a registry has no list of referrers. */
export const companionTags = (subject: Digest): string[] => [...signatureTags(subject), referrersTag(subject)]

/** Whether a tag is one of these, of any manifest. */
export const isCompanionTag = (tag: string): boolean =>
  /^sha(?:256|512)-[0-9a-f]{64,128}(?:\.(?:sig|att|sbom))?$/.test(tag)
