import type { Dialect } from '../rules/rule.ts'

/** How an upstream departs from what the others do. */
export type Quirks = {
  /** The `n` to ask a tag list for; `undefined` to ask without. */
  tagPageSize: number | undefined
  /** Whether it is worth asking for the referrers API, before the tag that stands in for it. */
  referrersApi: boolean
  /**
   * Whether the challenge in the refusal of a stale token is right. Where it is not, the request is repeated without
   * the token, and the challenge of that refusal counts.
   */
  challengesStaleTokens: boolean
}

const generic: Quirks = { tagPageSize: 1000, referrersApi: true, challengesStaleTokens: true }

export const quirks: Readonly<Record<Dialect, Quirks>> = {
  generic,
  'docker-hub': generic,
  ecr: generic, // more than 1000 is an error
  'ecr-public': generic,
  gcr: { ...generic, tagPageSize: undefined }, // lists have no pages
  ghcr: { ...generic, referrersApi: false },
  gitlab: generic,
  nvcr: { ...generic, challengesStaleTokens: false }, // names a realm that serves other accounts
  quay: { ...generic, tagPageSize: 100 }, // its longest page
}
