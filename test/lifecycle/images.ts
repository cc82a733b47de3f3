import { type Expiration, expirations, type LifecycleImage } from '../../src/lifecycle/evaluate.ts'
import { parseLifecyclePolicy } from '../../src/lifecycle/policy.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { documentOf } from './documents.ts'

export const now = Date.UTC(2026, 0, 31)
const dayMs = 86_400_000

export type Sketch = {
  tags?: string[]
  pushed?: number
  pulled?: number
  lists?: string[]
  subject?: string
  pinned?: true
}

export type NamedImage = LifecycleImage & { readonly name: string }

const digest = (name: string): Digest => digestOf(Buffer.from(name))

/** Images by name; ages are in days. */
export const imagesOf = (sketches: Record<string, Sketch>): NamedImage[] =>
  Object.entries(sketches).map(([name, { tags = [], pushed = 1, pulled, lists = [], subject, pinned }]) => ({
    name,
    digest: digest(name),
    tags,
    pushedAt: now - pushed * dayMs,
    ...(pulled !== undefined && { pulledAt: now - pulled * dayMs }),
    references: lists.map(digest),
    ...(subject !== undefined && { subject: digest(subject) }),
    ...(pinned && { pinned }),
  }))

/** What expires, as `name:priority`. */
export const expiring = (sketches: Record<string, Sketch>, ...rules: object[]): string[] =>
  expirations(parseLifecyclePolicy(documentOf(...rules)), imagesOf(sketches), now).map(told)

const told = ({ image, rulePriority }: Expiration<NamedImage>): string => `${image.name}:${rulePriority}`
