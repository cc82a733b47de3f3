import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { expect, it } from 'vitest'
import { randomBlob } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { take } from './client.ts'
import { Ground } from './ground.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB

/** The most memory that a process ever held, in bytes. */
async function peakMemory(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

it('H109: a hundred slow readers of one cold gigabyte: within 256 MiB', async () => {
  await using ground = await Ground.start({ sites: 1 })
  const site = ground.site()
  const blob = site.upstream.addBlob('team/app', randomBlob(GiB, 'memory'))
  const readers = await Promise.all(Array.from({ length: 100 }, () => site.openBlob('team/app', blob.digest)))
  const sip = async (reader: IncomingMessage) => {
    const bytes = await take(reader, 64 * 1024)
    return bytes.equals(blob.slice(0, bytes.length))
  }
  const sips = Promise.all(readers.map(sip))

  const fast = await fetchDigest(site.url(`team/app/blobs/${blob.digest}`))

  expect(fast).toMatchObject({ status: 200, digest: blob.digest, size: GiB })
  expect(new Set(await sips)).toEqual(new Set([true]))
  // Each at a place of its own by now, behind the writer: fed from disk.
  await Promise.all(readers.map((reader, number) => take(reader, number * 32 * 1024)))
  await ground.keeps(blob.digest)
  for (const reader of readers) reader.destroy()
  expect(site.upstream.requests()).toHaveLength(1)
  expect(await peakMemory(ground.cistern.pid)).toBeLessThan(256 * MiB)
}, 120_000)
