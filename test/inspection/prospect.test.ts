import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PutImageTagMutabilityCommand } from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { askInstance } from '../../src/commands/control.ts'
import type { Explanation } from '../../src/inspection/explanation.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { clientsOf, firstKey } from '../support/ecr.ts'
import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, type Image, image, index, startUpstream } from '../support/faulty-upstream.ts'
import { type Fetched, fetchDigest } from '../support/http.ts'

/** What `explain` says of an image now, and what a pull does right after. */
type Compared = { told: Explanation; seen: Explanation['pull'] | 'something else'; pulled: Fetched }

class Scene implements AsyncDisposable {
  readonly upstream: FaultyUpstream
  readonly cistern: CisternProcess

  constructor(upstream: FaultyUpstream, cistern: CisternProcess) {
    this.upstream = upstream
    this.cistern = cistern
  }

  /** Rules of one upstream: their prefixes say how they deal with tags. */
  static async open(): Promise<Scene> {
    const upstream = await startUpstream()
    const rule = (prefix: string, rest: object = {}) => ({ prefix, upstream: upstream.url, tagTtl: '0', ...rest })
    const rules = [
      rule('fresh', { tagTtl: '1h' }),
      rule('due'),
      rule('grace', { staleWhileRevalidate: '1h' }),
      rule('keep', { onUnknownTag: 'keep' }),
      rule('closed', { repositories: { deny: ['secret/*'] } }),
    ]
    const cistern = await startCistern({ rules, config: { timeouts: { retryPause: '1h' } } })
    return new Scene(upstream, cistern)
  }

  get(path: string): Promise<Fetched> {
    return fetchDigest(`${this.cistern.url}/v2/${path}`)
  }

  /** As clients pull: the manifest, then what it is made of. A blob is in the store a moment after its last byte is out. */
  async pull(repository: string, reference: string, app: Image): Promise<void> {
    await this.get(`${repository}/manifests/${reference}`)
    for (const digest of partsOf(app)) await this.get(`${repository}/blobs/${digest}`)
    await this.lacks(repository, app, 0)
  }

  async lacks(repository: string, { digest }: Image, missing: number): Promise<void> {
    const cached = async () => (await this.explain(`${repository}@${digest}`)).cached
    await eventually(async () => expect(await cached()).toMatchObject({ missing }))
  }

  explain(reference: string): Promise<Explanation> {
    const query = new URLSearchParams({ reference })
    return askInstance(this.cistern.dataDir, `/explain?${query}`, 'GET') as Promise<Explanation>
  }

  /** `parts` are the blobs that the client goes on to ask for. */
  async compare(repository: string, reference: string, parts: string[] = []): Promise<Compared> {
    const { upstream } = this
    upstream.forget()
    const told = await this.explain(`${repository}${reference.includes(':') ? '@' : ':'}${reference}`)
    expect(upstream.log).toEqual([])
    const pulled = await this.get(`${repository}/manifests/${reference}`)
    const [first] = upstream.requests()
    const status = String(pulled.headers['cache-status'])
    if (status.includes('detail=revalidating')) {
      await upstream.seen(1, 'HEAD', 'manifest')
      return { told, seen: 'served while it is checked', pulled }
    }
    if (first) return { told, seen: first.method === 'HEAD' ? 'served after a check' : 'fetched', pulled }
    if (pulled.status !== 200) return { told, seen: 'refused', pulled }
    if (status.includes('detail=')) return { told, seen: 'served unchecked', pulled }
    const statuses: number[] = []
    for (const digest of parts) statuses.push((await this.get(`${repository}/blobs/${digest}`)).status)
    if (upstream.log.length > 0) return { told, seen: 'fetched in part', pulled }
    return { told, seen: statuses.every((each) => each === 200) ? 'served' : 'served in part', pulled }
  }

  fileOf(digest: string): string {
    return join(this.cistern.dataDir, 'v1', 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cistern[Symbol.asyncDispose]()
    await this.upstream[Symbol.asyncDispose]()
  }
}

const partsOf = ({ config, layers }: Image) => [config, ...layers].map(({ digest }) => digest)

describe('what explain says that a pull would do, it does', () => {
  it('with what is here, whole or in part', async () => {
    await using scene = await Scene.open()
    const { upstream } = scene
    const app = upstream.addImage('app', 'v1', image())
    await scene.pull('fresh/app', 'v1', app)
    for (const reference of ['v1', app.digest]) {
      const { told, seen } = await scene.compare('fresh/app', reference, partsOf(app))
      expect([told.pull, seen]).toEqual(['served', 'served'])
    }
    const part = upstream.addImage('part', 'v1', image({ seed: 'part' }))
    await scene.get('fresh/part/manifests/v1')
    await scene.get(`fresh/part/blobs/${part.config.digest}`)
    await scene.lacks('fresh/part', part, 2)
    const { told, seen } = await scene.compare('fresh/part', 'v1', partsOf(part))
    expect([told.pull, seen, told.cached?.missing]).toEqual(['fetched in part', 'fetched in part', 2])
  })

  it('with an index of which one platform is here, and with one of which none is', async () => {
    await using scene = await Scene.open()
    const { upstream } = scene
    const [amd64, arm64] = [image({ seed: 'amd64' }), image({ seed: 'arm64' })]
    const both = upstream.addIndex('app', 'v1', index([amd64, arm64]))
    await scene.get('fresh/app/manifests/v1')
    expect(await scene.explain('fresh/app:v1')).toMatchObject({
      pull: 'fetched in part',
      cached: { whole: false, missing: 0 },
    })
    await scene.pull('fresh/app', arm64.digest, arm64)
    const { told, seen } = await scene.compare('fresh/app', 'v1', partsOf(arm64))
    expect([told.pull, seen]).toEqual(['served', 'served'])
    expect(told.cached).toMatchObject({
      digest: both.digest,
      whole: false,
      platforms: [
        { platform: 'linux/amd64', whole: false },
        { platform: 'linux/arm64', whole: true },
      ],
    })
    const child = await scene.compare('fresh/app', amd64.digest)
    expect([child.told.pull, child.seen]).toEqual(['fetched', 'fetched'])
  })

  it('with a tag that is due, one that moved, one in its time of grace, and one that was seen to move', async () => {
    await using scene = await Scene.open()
    const { upstream } = scene
    const app = upstream.addImage('app', 'v1', image())
    await scene.pull('due/app', 'v1', app)
    await scene.pull('grace/app', 'v1', app)
    await scene.pull('fresh/app', 'v1', app)

    const due = await scene.compare('due/app', 'v1')
    expect([due.told.pull, due.seen]).toEqual(['served after a check', 'served after a check'])
    expect(due.told.freshness?.dueAt).toBe(due.told.freshness?.checkedAt)
    const grace = await scene.compare('grace/app', 'v1')
    expect([grace.told.pull, grace.seen]).toEqual(['served while it is checked', 'served while it is checked'])

    const next = upstream.addImage('app', 'v1', image({ seed: 'next' }))
    const moved = await scene.compare('due/app', 'v1')
    expect([moved.told.pull, moved.seen, moved.pulled.digest]).toEqual([
      'served after a check',
      'served after a check',
      next.digest,
    ])
    expect(await scene.explain('due/app:v1')).toMatchObject({ cached: { digest: next.digest } })

    upstream.addImage('other', 'v1', app)
    await scene.pull('fresh/other', 'v1', app)
    upstream.addImage('other', 'v1', next)
    const query = new URLSearchParams({ reference: 'fresh/other:v1', ask: 'true' })
    await askInstance(scene.cistern.dataDir, `/explain?${query}`, 'GET')
    const sighted = await scene.compare('fresh/other', 'v1')
    expect([sighted.told.pull, sighted.seen, sighted.pulled.digest]).toEqual(['fetched', 'fetched', next.digest])
    expect(sighted.told).toMatchObject({ cached: { digest: app.digest }, lastAnswer: { digest: next.digest } })
  })

  it('with a digest that another repository brought in', async () => {
    await using scene = await Scene.open()
    const app = scene.upstream.addImage('app', 'v1', image())
    scene.upstream.addImage('copy', 'v1', app)
    await scene.pull('fresh/app', 'v1', app)
    const { told, seen } = await scene.compare('fresh/copy', app.digest)
    expect([told.pull, seen, told.cached]).toEqual(['served after a check', 'served after a check', undefined])
  })

  it('with what is missing, was found missing, leads nowhere, or is kept out', async () => {
    await using scene = await Scene.open()
    const missing = await scene.compare('fresh/app', 'v1')
    expect([missing.told.pull, missing.seen, missing.pulled.status]).toEqual(['fetched', 'fetched', 404])
    const again = await scene.compare('fresh/app', 'v1')
    expect([again.told.pull, again.seen, again.pulled.status]).toEqual(['refused', 'refused', 404])
    expect(again.told).toMatchObject({
      why: 'manifest v1 is unknown in app',
      againAt: expect.any(Number),
      lastAnswer: { kind: 'unknown' },
    })
    for (const repository of ['nowhere.example/app', 'closed/secret/app']) {
      const { told, seen, pulled } = await scene.compare(repository, 'v1')
      expect([told.pull, seen, pulled.status, typeof told.why]).toEqual(['refused', 'refused', 404, 'string'])
    }
  })

  it('with an upstream that fails, and tags whose check failed a moment ago', async () => {
    await using scene = await Scene.open()
    const { upstream } = scene
    const app = upstream.addImage('app', 'v1', image())
    await scene.pull('due/app', 'v1', app)
    await scene.pull('keep/app', 'v1', app)
    upstream.removeTag('app', 'v1')
    for (const [repository, then, status] of [
      ['due/app', 'refused', 404],
      ['keep/app', 'served unchecked', 200],
    ] as const) {
      const first = await scene.compare(repository, 'v1')
      expect([first.told.pull, first.seen, first.pulled.status]).toEqual([
        'served after a check',
        'served after a check',
        status,
      ])
      const second = await scene.compare(repository, 'v1')
      expect([second.told.pull, second.seen, second.pulled.status]).toEqual([then, then, status])
    }

    upstream.addImage('down', 'v1', app)
    await scene.pull('due/down', 'v1', app)
    upstream.fault('*', { status: 503 })
    const cold = await scene.compare('due/cold', 'v1')
    expect([cold.told.pull, cold.seen, cold.pulled.status]).toEqual(['fetched', 'fetched', 502])
    const failing = await scene.compare('due/down', 'v1')
    expect([failing.told.pull, failing.seen]).toEqual(['served after a check', 'served after a check'])
    expect(failing.pulled.status).toBe(200)
    const paused = await scene.compare('due/down', 'v1')
    expect([paused.told.pull, paused.seen, paused.pulled.status]).toEqual(['served unchecked', 'served unchecked', 200])
    expect(paused.told).toMatchObject({ why: `${upstream.host} answered 503`, lastAnswer: { kind: 'unavailable' } })
  })

  it('with a tag that is immutable here', async () => {
    await using scene = await Scene.open()
    const app = scene.upstream.addImage('app', 'v1', image())
    await scene.pull('due/app', 'v1', app)
    using clients = clientsOf(scene.cistern, await firstKey(scene.cistern))
    await clients.ecr.send(
      new PutImageTagMutabilityCommand({ repositoryName: 'due/app', imageTagMutability: 'IMMUTABLE' }),
    )
    scene.upstream.addImage('app', 'v1', image({ seed: 'next' }))
    const { told, seen } = await scene.compare('due/app', 'v1', partsOf(app))
    expect([told.pull, seen, told.freshness?.dueAt]).toEqual(['served', 'served', 'never'])
  })

  it('offline, and where no rule leads any more', async () => {
    await using scene = await Scene.open()
    const { cistern, upstream } = scene
    const app = upstream.addImage('app', 'v1', image())
    const part = upstream.addImage('part', 'v1', image({ seed: 'part' }))
    await scene.pull('due/app', 'v1', app)
    await scene.get('due/part/manifests/v1')
    await appendFile(join(cistern.directory, 'cistern.yaml'), '\noffline: true\n')
    await cistern.restart()

    const states = async () => [
      await scene.compare('due/app', 'v1', partsOf(app)),
      await scene.compare('due/part', 'v1', partsOf(part)),
      await scene.compare('due/app', 'v2'),
    ]
    for (const { told, seen } of await states()) expect(told.pull).toBe(seen)
    expect((await states()).map(({ seen }) => seen)).toEqual(['served', 'served in part', 'refused'])

    const addresses = 'listen: 127.0.0.1:0\nadminListen: 127.0.0.1:0\nbuiltinRules: false\n'
    await writeFile(join(cistern.directory, 'cistern.yaml'), `${addresses}dataDir: ${cistern.dataDir}\nrules: []\n`)
    await cistern.restart()
    for (const { told, seen } of await states()) expect([told.pull, told.rule]).toEqual([seen, undefined])
    expect((await states()).map(({ seen }) => seen)).toEqual(['served', 'served in part', 'refused'])
  })

  it('with a manifest that the disk damaged', async () => {
    await using scene = await Scene.open()
    const { cistern, upstream } = scene
    const app = upstream.addImage('app', 'v1', image())
    await scene.pull('fresh/app', 'v1', app)
    await cistern.stop()
    await writeFile(scene.fileOf(app.digest), Buffer.alloc(app.bytes.length, 'x'))
    await cistern.restart()
    const { told, seen, pulled } = await scene.compare('fresh/app', 'v1')
    expect([told.pull, seen, pulled.digest]).toEqual(['fetched', 'fetched', app.digest])
    expect([told.damaged, told.cached]).toEqual([app.digest, undefined])
    expect(await scene.explain('fresh/app:v1')).toMatchObject({ pull: 'served', cached: { whole: true } })
  })
})
