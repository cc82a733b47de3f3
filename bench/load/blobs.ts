import { answer, drive } from './child.ts'
import { Connection } from './connection.ts'

export type BlobsTask = {
  /** An origin. */
  url: string
  path: string
  /** Of the blob; every answer has to have it. */
  size: number
  connections: number
  /** How many times the blob is fetched in all, a multiple of the connections. */
  count: number
}

/** Instants are milliseconds since the epoch, with fractions. */
export type BlobsResult = { bytes: number; startedAt: number; endedAt: number }

/** Fetches a blob again and again on connections of its own. */
export const fetchBlobs = (task: BlobsTask): Promise<BlobsResult> => drive('blobs.ts', task, 180_000)

async function work({ url, path, size, connections, count }: BlobsTask): Promise<BlobsResult> {
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
  const startedAt = performance.timeOrigin + performance.now()
  const fetchOn = async () => {
    using connection = await Connection.open(url, buffer)
    for (let fetched = 0; fetched < count / connections; fetched++) {
      const { status, bytes } = await connection.ask({ path })
      if (status !== 200 || bytes !== size) throw new Error(`GET ${path}: ${status}, ${bytes} bytes`)
    }
  }
  await Promise.all(Array.from({ length: connections }, fetchOn))
  return { bytes: size * count, startedAt, endedAt: performance.timeOrigin + performance.now() }
}

if (import.meta.main) await answer(work)
