import { PassThrough } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { passLines } from '../../src/cluster/lines.ts'

it('passes on whole lines, whatever pieces they come in, so that those of others stand between them', async () => {
  const [one, other, out] = [new PassThrough(), new PassThrough(), new PassThrough()]
  let passed = ''
  out.on('data', (chunk: Buffer) => {
    passed += chunk
  })
  passLines(one, out)
  passLines(other, out)
  const pieces: [PassThrough, string][] = [
    [one, '{"a":1}\n{"b":'],
    [other, '{"c":3}\n'],
    [one, '2'],
    [other, '{"d"'],
    [one, '}\n'],
    [other, ':4}\n{"e":5}\n'],
  ]
  for (const [from, piece] of pieces) {
    from.write(piece)
    await nextTurn()
  }
  await nextTurn()
  const lines = passed.trim().split('\n')
  expect(lines.map((line) => Object.keys(JSON.parse(line))[0])).toEqual(['a', 'c', 'b', 'd', 'e'])
})
