import fc from 'fast-check'
import type { Member, ModelledOperation, Shape } from '../../support/aws-model.ts'

/** Where a traversal would lead to. */
export const escapeName = 'cistern-fuzz-escaped'

/** A value that a member may have. */
export type Sample = (name: string, shape: Shape) => unknown

/** One body of a request. `refused` says that it cannot be right, whatever the operation makes of its values. */
export type Case = { body: string; refused: boolean }

const text = (value: string): string => JSON.stringify(value)
const nested = (open: string, inner: string, close: string): string =>
  open.repeat(10_000) + inner + close.repeat(10_000)
const many = (element: string): string => `[${Array(10_000).fill(element).join(',')}]`

/** In JSON, or in what only looks like it. */
const hostileValues: readonly string[] = [
  ...['null', 'true', '0', '-1', '1.5', '1e400', '-1e400', '9007199254740993', 'NaN', 'undefined', "'x'"],
  ...['[]', '{}', '[null]', '[[]]', '[{}]', '{"length":1}', '{"toString":1}', '{"then":true}'],
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '[{"__proto__":{"polluted":true}}]',
  ...[nested('[', '', ']'), nested('{"a":', '1', '}'), many('"x"'), many('null'), many('{}')],
  ...['', ' ', 'x', 'X', '7', '*', '**', '-', '/', '//', '.', '..', 'a//b', 'a/../b', 'a b'].map(text),
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'ROOT', 'ALL'].map(text),
  ...[
    `../../../../tmp/${escapeName}`,
    `/tmp/${escapeName}`,
    `..%2f..%2ftmp%2f${escapeName}`,
    `a/${escapeName}\u0000.json`,
  ].map(text),
  ...['a\u0000b', 'a\r\nSet-Cookie: x=y', '\u001b[31m', '\u202ea', 'ａ', 'İ', 'e\u0301', '🐳', '\ufeff'].map(text),
  ...['"\\ud800"', '"\\udc00a"', '"\\u0000"'],
  ...["'; DROP TABLE repositories; --", '<script>alert(1)</script>', '%s%n', '{"a":1}'].map(text),
  ...['arn:', 'arn:aws:ecr:us-east-1:000000000000:repository/', 'arn:aws:ecr:::', 'arn:aws:iam::1:role/x'].map(text),
  ...['sha256:', `sha256:${'0'.repeat(64)}`, `sha512:${'0'.repeat(64)}`, `md5:${'0'.repeat(32)}`].map(text),
  ...['http://127.0.0.1:1', 'https://user:canary@x', 'file:///etc/passwd', 'x:99999', '[::1]', 'https://x/y?z'].map(
    text,
  ),
  ...['x'.repeat(100_000), `${'a-'.repeat(50_000)}!`, `${'a/'.repeat(50_000)}`, '*'.repeat(100_000)].map(text),
  ...['{', '[1', '""""', nested('{"Statement":[', '', ']}'), '{"Statement":[]}', '{"rules":[]}'].map(text),
  text(`{"Statement":${'['.repeat(2000)}${']'.repeat(2000)}}`),
  text(`{"rules":${'['.repeat(2000)}${']'.repeat(2000)}}`),
]

/** Stands in a body for the hostile value. */
const marker = '<here>'

/** The body with which an operation finds nothing wrong. */
export function sampleBody({ members }: ModelledOperation, sample: Sample): string {
  return JSON.stringify(sample('', { kind: 'structure', members }))
}

/** Bodies that hold one hostile value each, in each place of the input, beside values that are as they should be. */
export function hostileBodies(operation: ModelledOperation, sample: Sample): Case[] {
  const whole = hostileValues.map((body): Case => ({ body, refused: !isObject(body) }))
  return bodiesOf(operation, sample)
    .flatMap(({ bodyWith, shape, required }) =>
      hostileValues.map((hostile): Case => ({ body: bodyWith(hostile), refused: required && !fits(hostile, shape) })),
    )
    .concat(whole, { body: '', refused: false })
}

/** Bodies with a list of many entries, none of them right, in each place of a list. */
export const longListBodies = (operation: ModelledOperation, sample: Sample): string[] =>
  bodiesOf(operation, sample)
    .filter(({ shape }) => shape.kind === 'list')
    .map(({ bodyWith }) => bodyWith(many('0')))

/** For each place of an input: bodies that have some JSON there, beside values that are as they should be. */
function bodiesOf({ members }: ModelledOperation, sample: Sample) {
  return [...members].flatMap(([name, member]) => {
    const others = [...members].filter(([other, { required }]) => required && other !== name)
    const base = Object.fromEntries(others.map(([other, { shape }]) => [other, sample(other, shape)]))
    return placesIn(name, member, sample).map(({ value, shape, required }) => {
      const template = JSON.stringify({ ...base, [name]: value })
      return { bodyWith: (json: string) => template.replace(JSON.stringify(marker), () => json), shape, required }
    })
  })
}

type Place = { value: unknown; shape: Shape; required: boolean }

/** The value of a member, once for each place in it that a hostile value can take. */
function placesIn(name: string, { shape, required }: Member, sample: Sample): Place[] {
  const here: Place = { value: marker, shape, required }
  if (shape.kind === 'list') {
    const inner = placesIn(name, { shape: shape.of, required }, sample)
    return [here, ...inner.map((place) => ({ ...place, value: [place.value] }))]
  }
  if (shape.kind !== 'structure') return [here]
  const inner = [...shape.members].flatMap(([member, { shape: of, required: needed }]) => {
    const others = [...shape.members].filter(([other, known]) => known.required && other !== member)
    const base = Object.fromEntries(others.map(([other, known]) => [other, sample(other, known.shape)]))
    const places = placesIn(member, { shape: of, required: required && needed }, sample)
    return places.map((place) => ({ ...place, value: { ...base, [member]: place.value } }))
  })
  return [here, ...inner]
}

/** Bodies that are made of a seed: any JSON, and any JSON in the members that it is the operation's to look at. */
export function junkBodies({ members }: ModelledOperation, seed: number, count: number): Case[] {
  const value = fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' })
  const names = [...members.keys()].filter((name) => !name.startsWith('registryId'))
  const known = fc.record(Object.fromEntries(names.map((name) => [name, value])), { requiredKeys: [] })
  const bodies = fc.oneof(value, known, known).map((junk): Case => ({ body: JSON.stringify(junk), refused: false }))
  return fc.sample(bodies, { seed, numRuns: count })
}

/** `count` of `cases`, the same for the same seed. */
export function someOf(cases: readonly Case[], seed: number, count: number): Case[] {
  const picks = fc.shuffledSubarray([...cases], { minLength: Math.min(count, cases.length) })
  return fc.sample(picks, { seed, numRuns: 1 }).flat().slice(0, count)
}

function isObject(json: string): boolean {
  return fits(json, { kind: 'structure', members: new Map() })
}

/** Whether a value is of the type that a member has. */
function fits(json: string, { kind }: Shape): boolean {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    return false
  }
  if (kind === 'list') return Array.isArray(value)
  if (kind === 'structure') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return typeof value === (kind === 'blob' ? 'string' : kind)
}
