import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { batchSize, Spool } from '../../src/cache/spool.ts'
import { UnstoredWriter } from '../../src/cache/unstored-writer.ts'
import { type Digest, Digester } from '../../src/oci/digest.ts'

/** A writer on a disk that takes nothing: it hashes what it is given, and takes its time. */
class SlowWriter extends UnstoredWriter {
  readonly #digester = new Digester('sha256')

  constructor() {
    super('sha256', new Error('ENOSPC'))
  }

  override async write(chunk: Uint8Array): Promise<void> {
    await nextTurn()
    this.#digester.update(chunk)
    throw new Error('ENOSPC')
  }

  override digest(): Digest {
    return this.#digester.finish()
  }
}

it('G90: leaves alone what is still being hashed, however far readers are', async () => {
  const bytes = randomBytes(6 * batchSize + 1)
  const writer = new SlowWriter()
  const nobody = Number.POSITIVE_INFINITY
  const spool = new Spool(writer, bytes.length, { onReceived: () => {}, onAdrift: () => {}, slowest: () => nobody })
  const expected = new Digester('sha256')
  expected.update(bytes)

  for (let at = 0; at < bytes.length; at += 60_000) await spool.append(bytes.subarray(at, at + 60_000))
  await spool.flush()

  expect(writer.digest()).toBe(expected.finish())
})
