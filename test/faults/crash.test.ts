import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import type { OperationKind } from '../support/fault-file-system.ts'
import { image, index, randomBlob } from '../support/faulty-upstream.ts'
import { root } from '../support/paths.ts'
import { Service } from '../support/process.ts'
import { Appliance, wholeBlobs, writeConfig } from './appliance.ts'
import { ask } from './client.ts'

type Step = [moment: 'before' | 'after', kind: OperationKind, number: number]

/** The steps of the write protocol. A blob of three batches takes three writes. */
const steps: Step[] = [
  ['before', 'create', 1],
  ['after', 'create', 1],
  ['before', 'write', 1],
  ['after', 'write', 2],
  ['after', 'write', 3],
  ['before', 'sync', 1],
  ['after', 'sync', 1],
  ['before', 'rename', 1],
  ['after', 'rename', 1],
  ['before', 'sync-directory', 1],
  ['after', 'sync-directory', 1],
]

/** Runs one on the data of an appliance that is closed, until it killed itself in answering `path`. */
async function dieAnswering(appliance: Appliance, path: string, step: Step): Promise<void> {
  const file = await writeConfig(appliance.directory, appliance.dataDir, appliance.upstream.url, {})
  const script = join(root, 'test', 'faults', 'killed-cistern.ts')
  const service = new Service(process.execPath, [script, file, ...step.map(String)])
  try {
    const url = await service.line((line) => (line.startsWith('http://') ? line : undefined))
    await ask(`${url}/v2/up.test/app/${path}`).catch(() => {})
    expect(await service.ended).toBe('SIGKILL')
  } finally {
    await service.stop('SIGKILL')
  }
}

describe('a Cistern that is killed', () => {
  it.concurrent.each(steps)('H106: %s %s %i of a blob, shows nothing partial, sweeps, and fetches', async (...step) => {
    await using appliance = await Appliance.start()
    const blob = appliance.upstream.addBlob('app', randomBlob(2_500_000, step.join()))
    let left: string[] = []
    await appliance.restart(async () => {
      await dieAnswering(appliance, `blobs/${blob.digest}`, step)
      left = await wholeBlobs(appliance.dataDir)
    })

    expect(left).toEqual(step[1] === 'sync-directory' || step.join() === 'after,rename,1' ? [blob.digest] : [])
    expect(await appliance.files('ingest')).toEqual([])
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.settles()
    expect(await appliance.stored()).toEqual([blob.digest])
    await eventually(async () => expect(await appliance.metric('cistern_cache_bytes')).toBe(blob.size))
  })

  it.concurrent.each(steps.filter(([, kind]) => kind === 'rename' || kind === 'sync'))(
    'H106: %s %s %i of a manifest, has not moved the tag, and serves what upstream has',
    async (...step) => {
      await using appliance = await Appliance.start()
      const old = appliance.upstream.addImage('app', 'latest', image({ seed: 'old' }))
      await appliance.manifest('latest')
      const { digest } = appliance.upstream.addImage('app', 'latest', image({ seed: 'new' }))
      await appliance.restart(() => dieAnswering(appliance, 'manifests/latest', step))

      await appliance.upstream.goDown()
      expect(await appliance.told('manifests/latest')).toEqual({ status: 200, digest: old.digest })
      await appliance.upstream.comeUp()
      await appliance.restart()
      expect(await appliance.told('manifests/latest')).toEqual({ status: 200, digest })
      expect(await appliance.files('ingest')).toEqual([])
    },
  )
})

describe('metadata that are lost', () => {
  const metadataFiles = async (dataDir: string) =>
    (await readdir(dataDir)).filter((name) => name.startsWith('metadata.db')).map((name) => join(dataDir, name))

  const losses: [string, (dataDir: string) => Promise<unknown>][] = [
    ['gone', async (dataDir) => Promise.all((await metadataFiles(dataDir)).map((file) => rm(file)))],
    ['corrupt', (dataDir) => writeFile(join(dataDir, 'metadata.db'), 'x'.repeat(20_000))],
  ]

  /** An image of two platforms with a layer in the store, and its appliance opened again, offline, after the loss. */
  async function lost(lose: (dataDir: string) => Promise<unknown>, rule: Record<string, unknown> = {}) {
    const appliance = await Appliance.start({ rule })
    const child = image({ layers: [900_000] })
    const { digest } = appliance.upstream.addIndex('app', 'latest', index([child]))
    const layer = child.layers[0]?.digest ?? ''
    const all = [`manifests/${digest}`, `manifests/${child.digest}`, `blobs/${child.config.digest}`, `blobs/${layer}`]
    for (const path of ['manifests/latest', ...all]) await appliance.get(path)
    await appliance.settles()
    await appliance.restart(() => lose(appliance.dataDir).then(() => {}))
    return { appliance, digest, child, layer, all }
  }

  it.each(losses)(
    'G99: %s: what was stored is served by digest at once, under a rule without credential',
    async (...loss) => {
      const { appliance, all } = await lost(loss[1])
      await using _ = appliance
      await appliance.restart(undefined, { config: { offline: true } })
      appliance.upstream.forget()

      const answers = await Promise.all(all.map((path) => appliance.told(path)))

      expect(answers).toEqual(all.map((path) => ({ status: 200, digest: path.split('/')[1] })))
      const head = await appliance.get(all[0] ?? '', { method: 'HEAD' })
      expect(head.headers['content-type']).toBe('application/vnd.oci.image.index.v1+json')
      expect(appliance.upstream.log).toEqual([])
    },
  )

  it('G99: while upstream is down, digests are served; the tag is known again once it is up', async () => {
    const { appliance, digest, all } = await lost(losses[0]?.[1] ?? (async () => {}))
    await using _ = appliance
    await appliance.upstream.goDown()
    for (const path of all) expect((await appliance.told(path)).status).toBe(200)
    await appliance.upstream.comeUp()
    await appliance.restart()
    appliance.upstream.forget()
    expect(await appliance.told('manifests/latest')).toEqual({ status: 200, digest })
    expect(appliance.upstream.requests('GET', 'blob')).toEqual([])
  })

  it('G99: elsewhere upstream is asked, by one HEAD, who may have it', async () => {
    const credential = { username: 'u', password: 'p' }
    const { appliance, layer, child } = await lost(losses[0]?.[1] ?? (async () => {}), { credential })
    await using _ = appliance
    appliance.upstream.forget()
    expect(await appliance.told(`blobs/${layer}`)).toEqual({ status: 200, digest: layer })
    expect(await appliance.told(`manifests/${child.digest}`)).toEqual({ status: 200, digest: child.digest })
    expect(appliance.upstream.log.map(({ method, kind }) => [method, kind])).toEqual([
      ['HEAD', 'blob'],
      ['HEAD', 'manifest'],
    ])
    appliance.upstream.removeBlob('app', child.config.digest)
    expect((await appliance.told(`blobs/${child.config.digest}`)).status).toBe(404)
  })

  it('G99: what has no recorded size is hashed before its first hit, and put aside where it is wrong', async () => {
    for (const rule of [{}, { credential: { username: 'u', password: 'p' } }]) {
      const { appliance, layer } = await lost(losses[0]?.[1] ?? (async () => {}), rule)
      await using _ = appliance
      const bytes = await readFile(appliance.pathOf(layer))
      await writeFile(appliance.pathOf(layer), bytes.fill(0, 500_000, 500_001))
      expect(await appliance.told(`blobs/${layer}`)).toEqual({ status: 200, digest: layer })
      await appliance.keeps(layer)
      expect(await appliance.files('quarantine')).toHaveLength(1)
    }
  })

  it('G99: what came into the store later is shown to nobody on that account', async () => {
    const { appliance } = await lost(losses[0]?.[1] ?? (async () => {}))
    await using _ = appliance
    const later = appliance.upstream.addBlob('app', randomBlob(1000, 'later'))
    await appliance.blob(later.digest)
    await appliance.keeps(later.digest)
    appliance.upstream.forget()
    const other = await ask(appliance.url(`blobs/${later.digest}`).replace('/app/', '/other/'))
    expect(other.status).toBe(404)
    expect(appliance.upstream.requests('HEAD', 'blob')).toHaveLength(1)
  })

  it('G99: a link that is older than its blob, and one that outlived it, are put right by the next pull', async () => {
    await using appliance = await Appliance.start()
    const blob = appliance.upstream.addBlob('app', randomBlob(900_000, 'older'))
    await appliance.blob(blob.digest)
    await appliance.settles()
    const aside = join(appliance.directory, 'aside')
    await rename(appliance.pathOf(blob.digest), aside)
    await appliance.restart()
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.settles()
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    expect(appliance.upstream.requests('GET', 'blob')).toHaveLength(2)
  })
})
