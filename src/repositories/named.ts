import { isKind } from '../oci/errors.ts'
import { type ImageName, parseImageName } from '../oci/reference.ts'
import type { Rule } from '../rules/rule.ts'

/** Where a name leads: to a rule, or to what is cached without one. */
export type Place = { rule: Rule | undefined; repository: string; upstreamRepository: string }

/** Throws `unknown` where a name leads nowhere. */
export type PlaceOf = (name: string) => Promise<Place>

/** An image as somebody wrote it, and where that leads. */
export type Named = Omit<ImageName, 'name'> & Place

/** Throws `invalid`, and `unknown` where it leads nowhere. */
export async function named(text: string, placeOf: PlaceOf): Promise<Named> {
  const { name, ...reference } = parseImageName(text)
  return { ...reference, ...(await placeOf(name)) }
}

/** The same; `undefined` where it leads nowhere. */
export async function namedIfAny(text: string, placeOf: PlaceOf): Promise<Named | undefined> {
  try {
    return await named(text, placeOf)
  } catch (error) {
    if (isKind(error, 'unknown')) return undefined
    throw error
  }
}
