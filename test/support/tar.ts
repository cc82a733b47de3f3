const blockSize = 512

export type TarEntry = {
  name: string
  bytes?: Uint8Array
  /** https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06, `0` for a plain file. */
  type?: string
  linkname?: string
  /** What the header says, whatever there is. */
  size?: number
}

/** A POSIX archive of plain files by name. */
export const tar = (files: Record<string, Uint8Array>): Buffer =>
  tarOf(Object.entries(files).map(([name, bytes]) => ({ name, bytes })))

/** An archive of anything. */
export const tarOf = (entries: readonly TarEntry[]): Buffer =>
  Buffer.concat([...entries.flatMap(blocksOf), Buffer.alloc(2 * blockSize)])

function blocksOf({ bytes = Buffer.alloc(0), ...entry }: TarEntry): Uint8Array[] {
  return [header({ size: bytes.length, ...entry }), bytes, padding(bytes.length)]
}

/** https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06 */
function header({ name, type = '0', linkname = '', size = 0 }: TarEntry): Buffer {
  const block = Buffer.alloc(blockSize)
  block.write(name, 0, 100)
  block.write('0000644\0', 100)
  block.write('0000000\0'.repeat(2), 108)
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  block.write('00000000000\0', 136)
  block.write(' '.repeat(8), 148)
  block.write(type, 156)
  block.write(linkname, 157)
  block.write('ustar\x0000', 257)
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

const padding = (size: number): Buffer => Buffer.alloc((blockSize - (size % blockSize)) % blockSize)
