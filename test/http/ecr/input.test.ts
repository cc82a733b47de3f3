import { expect, it } from 'vitest'
import { z } from 'zod'
import { inputError } from '../../../src/http/ecr/input.ts'

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
