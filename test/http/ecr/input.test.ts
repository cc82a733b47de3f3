import { expect, it } from 'vitest'
import { z } from 'zod'
import { inputError, parseInput } from '../../../src/http/ecr/input.ts'

const shape = z.object({
  names: z
    .array(
      z
        .string()
        .min(2)
        .max(5)
        .regex(/^[a-z]+$/u),
    )
    .min(1)
    .max(3)
    .exactOptional(),
  ids: z.array(z.object({ imageTag: z.string().min(1) })).exactOptional(),
  size: z.int().min(1).max(10).exactOptional(),
  kind: z.literal(['one', 'other']).exactOptional(),
})

it.each<[unknown, string, string]>([
  [{ names: [] }, 'InvalidParameterException', "at 'names' failed to satisfy constraint: 'Member must have length gre"],
  [
    { names: ['ok', 'x'] },
    'InvalidParameterException',
    "at 'names[1]' failed to satisfy constraint: 'Member must have le",
  ],
  [{ names: ['ok', 'a!!'] }, 'InvalidParameterException', "'must satisfy regular expression '^[a-z]+$''"],
  [
    { ids: [{ imageTag: 'a' }, {}] },
    'InvalidParameterException',
    "at 'ids[1].imageTag' failed to satisfy constraint: 'Member must not",
  ],
  [{ ids: [null] }, 'InvalidParameterException', "at 'ids[0]' failed to satisfy constraint: 'Member must not be null'"],
  [{ size: 11 }, 'InvalidParameterException', 'value less than or equal to 10'],
  [{ kind: 'canary' }, 'InvalidParameterException', 'enum value set: [one, other]'],
  [{ ids: ['canary'] }, 'SerializationException', "The value at 'ids[0]' is not of the type"],
  ['canary', 'SerializationException', 'no JSON object'],
])('%j is refused in words of AWS', (input, code, message) => {
  const { error } = shape.safeParse(input)
  const told = inputError(error?.issues ?? [], input)

  expect([told.code, told.message]).toEqual([code, expect.stringContaining(message)])
  expect(told.message).not.toContain('canary')
})

const read = (text: string) => parseInput(Buffer.from(text))
const refused = expect.objectContaining({ code: 'SerializationException' })

it('members that are null are absent, at any depth, and entries of lists are not', () => {
  expect(read('{"size":null,"ids":[{"imageTag":"a","imageDigest":null}],"kind":"one"}')).toEqual({
    ids: [{ imageTag: 'a' }],
    kind: 'one',
  })
  expect(shape.safeParse(read('{"size":null,"names":null}')).data).toEqual({})
  expect(shape.safeParse(read('{"ids":[null]}')).success).toBe(false)
  expect(Object.keys(read('{"__proto__":{"a":null,"b":1}}') as object)).toEqual(['__proto__'])
})

it('nothing is an empty input, and null is none', () => {
  expect(read('')).toEqual({})
  expect(shape.safeParse(read('null')).success).toBe(false)
})

it.each([
  ['a word', 'x'],
  ['cut off', '{"a":1'],
  ['marked by its byte order', '\ufeff{}'],
])('what is no JSON is none: %s', (_, text) => {
  expect(() => read(text)).toThrow(refused)
})
