import { expect, it } from 'vitest'
import { parseUnambiguous } from '../../src/oci/json.ts'

it.each([
  '{"a":{"a":1},"b":[{"a":2},{"a":3}]}',
  '{"a":"\\"a\\":1","b":"{\\"b\\":2}"}',
  '{ "__proto__" : { "toJSON" : 1 }, "toString" : "a : b" }',
  '"a"',
])('what says nothing twice is read: %s', (text) => {
  expect(parseUnambiguous(text)).toEqual(JSON.parse(text))
})

it.each([
  '{"a":1,"a":2}',
  '{"a":1,"\\u0061":1}',
  '{"a":{"b":1,"b":1}}',
  '[{"__proto__":1,"__proto__":2}]',
  '{"a\\\\":1,"a\\\\" :2}',
])('what says something twice is not: %s', (text) => {
  expect(() => parseUnambiguous(text)).toThrow(new SyntaxError('has a key twice'))
})

it.each([
  ['a word', 'canary'],
  ['cut off', '{"canary":1'],
])('what is no JSON is not, and not quoted: %s', (_, text) => {
  expect(() => parseUnambiguous(text)).toThrow(new SyntaxError('is not JSON'))
})
