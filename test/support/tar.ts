const blockSize = 512

/** A POSIX archive of plain files by name. */
export function tar(files: Record<string, Uint8Array>): Buffer {
  const entries = Object.entries(files).flatMap(([name, bytes]) => [
    header(name, bytes.length),
    bytes,
    padding(bytes.length),
  ])
  return Buffer.concat([...entries, Buffer.alloc(2 * blockSize)])
}

/** https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06 */
function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(blockSize)
  block.write(name, 0)
  block.write('0000644\0', 100)
  block.write('0000000\0'.repeat(2), 108)
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  block.write('00000000000\0', 136)
  block.write(' '.repeat(8), 148)
  block.write('0', 156)
  block.write('ustar\x0000', 257)
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

const padding = (size: number): Buffer => Buffer.alloc((blockSize - (size % blockSize)) % blockSize)
