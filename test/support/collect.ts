import type { Body } from '../../src/oci/registry.ts'

/** All bytes of a body, which is disposed afterwards. */
export async function collect(body: Body): Promise<Buffer> {
  const chunks: Buffer[] = []
  await using owned = body
  await owned.sendTo({
    write: (chunk) => {
      chunks.push(Buffer.from(chunk))
    },
  })
  return Buffer.concat(chunks)
}
