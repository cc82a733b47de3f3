import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { blobOf, manifestOf, ociManifest, randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { pullImage } from '../support/pull.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB

/** The most memory that a process ever held, in bytes. */
async function peakMemory(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

it('exports and imports a gigabyte within 256 MiB', async () => {
  await using upstream = await startUpstream()
  await using online = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const layer = randomBlob(GiB, 'bundle')
  const config = blobOf('{"architecture":"amd64","os":"linux"}')
  const [first, second] = [config, layer].map(({ digest, size }) => ({ mediaType: 'application/x', digest, size }))
  const manifest = manifestOf({ schemaVersion: 2, mediaType: ociManifest, config: first, layers: [second] })
  const app = upstream.addImage('app', 'v1', { ...manifest, config, layers: [layer] })
  await pullImage(online, 'up.example/app', app, 'v1')
  await using sealed = await startCistern({ rules: [], config: { offline: true } })
  const bundle = join(online.directory, 'bundle.tar')

  expect((await command(online, 'export', '--out', bundle)).status).toBe(0)
  expect((await command(sealed, 'import', bundle)).status).toBe(0)

  expect(await fetchDigest(`${sealed.url}/v2/up.example/app/blobs/${layer.digest}`)).toMatchObject({
    ...{ status: 200, digest: layer.digest, size: GiB },
  })
  for (const { pid } of [online, sealed]) expect(await peakMemory(pid)).toBeLessThan(256 * MiB)
}, 180_000)
