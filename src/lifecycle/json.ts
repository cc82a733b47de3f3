import { parseUnambiguous } from '../oci/json.ts'
import { LifecyclePolicyError } from './policy-error.ts'

export type Tree = Readonly<Record<string, unknown>>

/** Throws `LifecyclePolicyError`. */
export function parseJson(text: string): unknown {
  try {
    return parseUnambiguous(text)
  } catch (error) {
    throw new LifecyclePolicyError(`the policy ${(error as Error).message}`)
  }
}

export function objectAt(value: unknown, place: string, members: readonly string[]): Tree {
  needed(value, place)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new LifecyclePolicyError(`${place} is no object`)
  }
  const unknown = Object.keys(value).find((key) => !members.includes(key))
  if (unknown !== undefined) throw new LifecyclePolicyError(`${place} has ${shown(unknown)}, which is no member of it`)
  return value as Tree
}

export function listAt(value: unknown, place: string, maxEntries: number): readonly unknown[] {
  needed(value, place)
  if (!Array.isArray(value)) throw new LifecyclePolicyError(`${place} is no list`)
  if (value.length === 0) throw new LifecyclePolicyError(`${place} is empty`)
  if (value.length > maxEntries) throw new LifecyclePolicyError(`${place} has more than ${maxEntries} entries`)
  return value
}

export function textAt(value: unknown, place: string): string {
  needed(value, place)
  if (typeof value !== 'string') throw new LifecyclePolicyError(`${place} is no text`)
  return value
}

export function choiceAt<T extends string>(value: unknown, place: string, choices: readonly T[]): T {
  const text = textAt(value, place)
  const choice = choices.find((each) => each === text)
  if (choice === undefined) throw new LifecyclePolicyError(`${place} is none of ${choices.join(', ')}`)
  return choice
}

/** A whole number that the API, which counts in 32 bits, can tell. */
export function positiveAt(value: unknown, place: string): number {
  needed(value, place)
  if (typeof value !== 'number') throw new LifecyclePolicyError(`${place} is no number`)
  if (!Number.isInteger(value) || value < 1 || value > maxInteger) {
    throw new LifecyclePolicyError(`${place} is no whole number from 1 to ${maxInteger}`)
  }
  return value
}

const maxInteger = 2 ** 31 - 1

function needed(value: unknown, place: string): void {
  if (value === undefined) throw new LifecyclePolicyError(`${place} is missing`)
}

/** A name of the text, as an error may quote it. */
const shown = (name: string): string => (/^\w{1,64}$/.test(name) ? name : 'a name')
