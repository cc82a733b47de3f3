import { statfs } from 'node:fs/promises'

/** What is to stay free on a volume: a part of it in percent, or bytes. */
export type MinFree = { percent: number } | { bytes: number }

/** Bytes that the volume of `path` lacks of what is to stay free on it; less than 0 where there are more. */
export async function lackingOn(path: string, minFree: MinFree): Promise<number> {
  const { bavail, blocks, bsize } = await statfs(path)
  const wanted = 'bytes' in minFree ? minFree.bytes : (minFree.percent / 100) * blocks * bsize
  return Math.ceil(wanted - bavail * bsize)
}
