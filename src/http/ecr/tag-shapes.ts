import { z } from 'zod'
import type { RepositorySettings } from '../../metadata/settings.ts'
import { AwsError } from './errors.ts'

type Tags = NonNullable<RepositorySettings['tags']>

const maxTags = 50
const maxKeyLength = 128
const maxValueLength = 256

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html#tag-restrictions */
const characters = /^[\p{L}\p{Z}\p{N}_.:/=+@-]*$/u

/** Far more than there may be, which has an error of its own; none of endless ones is looked at. */
const maxEntries = 1000

export const tagList = z.array(z.object({ Key: z.string(), Value: z.string() })).max(maxEntries)

export const tagKeys = z.array(z.string()).max(maxEntries)

/**
 * `before` with other tags among them, which replace those of the same keys. Throws `InvalidTagParameterException` and
 * `TooManyTagsException`.
 */
export function withTags(before: Tags, added: z.output<typeof tagList>): Tags {
  if (new Set(added.map(({ Key }) => Key)).size < added.length) throw invalidTag('A key may be given once.')
  for (const { Key: key, Value: value } of added) assertTag(key, value)
  const tags = new Map([...before, ...added.map(({ Key, Value }): [string, string] => [Key, Value])])
  if (tags.size > maxTags) {
    const message = `The list of tags on the repository is over the limit. The maximum number of tags that can be applied to a repository is ${maxTags}.`
    throw new AwsError('TooManyTagsException', message)
  }
  return [...tags].sort(([one], [other]) => (one < other ? -1 : 1))
}

export const toldTags = (tags: Tags = []) => tags.map(([Key, Value]) => ({ Key, Value }))

function assertTag(key: string, value: string): void {
  if (key.length === 0 || key.length > maxKeyLength || value.length > maxValueLength) {
    throw invalidTag(
      `Tag keys can have a maximum character length of ${maxKeyLength} characters, and tag values can have a maximum length of ${maxValueLength} characters.`,
    )
  }
  if (!characters.test(key) || !characters.test(value)) {
    throw invalidTag('Tags have letters, numbers, spaces and the characters _ . : / = + - @ only.')
  }
  if (/^aws:/i.test(key)) throw invalidTag('Keys that begin with aws: are reserved.')
}

const invalidTag = (what: string): AwsError =>
  new AwsError('InvalidTagParameterException', `An invalid parameter has been specified. ${what}`)
