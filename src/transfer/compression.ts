import { Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { invalid } from './request.ts'

type Form = { name: string; magic: readonly number[]; decompress?: () => Transform }

const forms: readonly Form[] = [
  { name: 'gzip', magic: [0x1f, 0x8b], decompress: createGunzip },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], decompress: createZstdDecompress },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68] },
]

const longestMagic = Math.max(...forms.map(({ magic }) => magic.length))

/** The bytes of a file, decompressed where their beginning says that they are compressed. Throws `invalid`. */
export async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  while (head.length < longestMagic) {
    const next = await chunks.next()
    if (next.done) break
    head = Buffer.concat([head, next.value])
  }
  const form = forms.find(({ magic }) => magic.every((byte, at) => head[at] === byte))
  const all = rejoined(head, chunks)
  if (!form) return yield* all
  if (!form.decompress) throw invalid(`it is compressed by ${form.name}, which is not read here: decompress it first`)
  const transform = form.decompress()
  const feeding = pipeline(Readable.from(all, { objectMode: false }), transform)
  feeding.catch(() => {}) // told by the transform, which it destroys
  yield* transform as AsyncIterable<Buffer>
  await feeding
}

async function* rejoined(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield head
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}
