import type { Reference } from '../oci/reference.ts'
import type { Outlook } from '../oci/registry.ts'
import type { Survey } from '../transfer/holdings.ts'
import { isPullable } from './held.ts'

/** What a pull would do now. */
export type Prospect = {
  /**
   * `served`: from here, without a question. `served unchecked`: so too, though a check is due. `served while it is
   * checked`: upstream is asked behind it. `served after a check`: upstream is asked first, by HEAD; where it cannot say,
   * what is here is served. `fetched`: by a GET. `fetched in part`, `served in part`: the manifest is served, and what is
   * missing of the rest is fetched, or is not to be had. `refused`: nobody is asked.
   */
  pull:
    | 'served'
    | 'served unchecked'
    | 'served while it is checked'
    | 'served after a check'
    | 'served in part'
    | 'fetched'
    | 'fetched in part'
    | 'refused'
  /** Why it is refused, or not checked. */
  why?: string
  /** When that ceases to count, in milliseconds since the epoch. */
  againAt?: number
}

/** `survey` is what the repository holds under the reference; `mayFetch`, whether there is an upstream to ask. */
export function prospectOf(
  reference: Reference,
  { asks, digest, error, againAt }: Outlook,
  survey: Survey | undefined,
  mayFetch: boolean,
): Prospect {
  const because = { ...(error && { why: error.message }), ...(againAt !== undefined && { againAt }) }
  const here = survey !== undefined && survey.descriptor.digest === digest
  if (asks === 'first') {
    // A digest that another repository brought in is shown once upstream confirms it.
    const confirmed = here || (digest !== undefined && 'digest' in reference)
    return { pull: confirmed ? 'served after a check' : 'fetched' }
  }
  if (!here && error) return { pull: 'refused', ...because }
  if (!here) return mayFetch ? { pull: 'fetched' } : { pull: 'refused', why: 'what is here of it is damaged' }
  if (error) return { pull: 'served unchecked', ...because }
  if (asks === 'meanwhile') return { pull: 'served while it is checked' }
  if (isPullable(survey)) return { pull: 'served' }
  return { pull: mayFetch ? 'fetched in part' : 'served in part' }
}
