import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { type Image, image, index, startUpstream } from '../support/faulty-upstream.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { layoutTar, named } from '../support/layout.ts'
import { root } from '../support/paths.ts'
import { blobFile, digestsOf, pullImage, pullIndex } from '../support/pull.ts'

const rule = { prefix: 'up.example', upstream: 'http://127.0.0.1:9' }

/** An instance that asks nobody. */
const startSealed = (config: Record<string, unknown> = {}) =>
  startCistern({ rules: [rule], config: { offline: true, ...config } })

async function importInto(cistern: CisternProcess, ...args: string[]) {
  const { status, stdout, stderr } = await command(cistern, 'import', '--json', ...args)
  return { status, stderr, report: stdout === '' ? undefined : JSON.parse(stdout) }
}

async function write(cistern: CisternProcess, bytes: Uint8Array, name = 'bundle.tar') {
  const path = join(cistern.directory, name)
  await writeFile(path, bytes)
  return path
}

const statusOf = async ({ url }: CisternProcess, path: string) => (await fetchDigest(`${url}/v2/${path}`)).status

it.each(['running', 'stopped', 'not yet there'])(
  'takes in what another instance exported, which serves it sealed: %s',
  async (state) => {
    await using upstream = await startUpstream()
    await using online = await startCistern({ rules: [{ ...rule, upstream: upstream.url }] })
    const [amd64, arm64] = [image({ seed: 'amd64', layers: [2_000_000] }), image({ seed: 'arm64' })]
    const both = upstream.addIndex('team/app', 'v1', index([amd64, arm64]))
    const sbom = upstream.addImage('team/app', undefined, image({ seed: 'sbom', subject: both.descriptor }))
    await pullIndex(online, 'up.example/team/app', both, 'v1')
    await pullImage(online, 'up.example/team/app', sbom)
    const bundle = join(online.directory, 'bundle.tar')
    expect((await command(online, 'export', '--out', bundle)).status).toBe(0)

    await using sealed = await startSealed()
    const config = state === 'not yet there' ? ['--data-dir', join(sealed.directory, 'fresh')] : []
    if (state !== 'running') await sealed.stop()
    const { status, stderr, report } = await importInto(sealed, bundle, ...config)
    expect([status, stderr]).toEqual([0, ''])
    expect(report.images.map(({ state }: { state: string }) => state)).toEqual(['whole', 'whole'])
    if (state === 'not yet there') {
      expect((await importInto(sealed, bundle, ...config)).report.stored.blobs).toBe(0)
      return
    }
    if (state === 'stopped') await sealed.restart()
    const at = (path: string) => fetchBytes(`${sealed.url}/v2/up.example/team/app/${path}`)
    for (const reference of ['v1', both.digest]) {
      const manifest = await at(`manifests/${reference}`)
      expect([manifest.status, manifest.headers['content-type'], manifest.bytes]).toEqual([
        ...[200, both.mediaType, both.bytes],
      ])
      expect(manifest.headers['cache-status']).toBe('cistern; hit')
    }
    for (const each of [amd64, arm64, sbom]) {
      expect((await at(`manifests/${each.digest}`)).bytes).toEqual(each.bytes)
      for (const blob of [each.config, ...each.layers]) {
        expect((await at(`blobs/${blob.digest}`)).bytes.equals(blob.bytes())).toBe(true)
      }
    }
    const referrers = JSON.parse((await at(`referrers/${both.digest}`)).bytes.toString())
    expect(referrers.manifests).toMatchObject([{ digest: sbom.digest, size: sbom.bytes.length }])
    expect(JSON.parse((await at('tags/list')).bytes.toString()).tags).toEqual(['v1'])
    expect((await command(sealed, 'ls')).stdout).toContain('up.example/team/app  4 ')
  },
)

it('is asked about the tags that it imported, where an upstream can be asked', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ ...rule, upstream: upstream.url, tagTtl: '1h' }] })
  const [old, next] = [image({ seed: 'old' }), image({ seed: 'next' })]
  upstream.addImage('app', 'v1', next)
  await pullImage(cistern, 'up.example/app', next, 'v1')
  upstream.forget()
  expect((await importInto(cistern, await write(cistern, layoutTar([named(old, 'up.example/app:v1')])))).status).toBe(0)

  const explained = await command(cistern, 'explain', 'up.example/app:v1')
  expect(explained.stdout).toMatch(/^checked +not yet; due at once$/m)
  await upstream.goDown()
  const stale = await fetchDigest(`${cistern.url}/v2/up.example/app/manifests/v1`)
  expect([stale.digest, stale.headers['cache-status']]).toEqual([old.digest, expect.stringContaining('unavailable')])
  await upstream.comeUp()
  await command(cistern, 'refresh', 'up.example/app:v1')
  const checked = await fetchDigest(`${cistern.url}/v2/up.example/app/manifests/v1`)
  expect(checked.digest).toBe(next.digest)
})

it('moves tags for all processes of an instance at once', async () => {
  await using sealed = await startSealed({ workers: 3 })
  const at = `${sealed.url}/v2/up.example/app/manifests/v1`
  for (const seed of ['first', 'second', 'third']) {
    const app = image({ seed })
    const bundle = await write(sealed, layoutTar([named(app, 'up.example/app:v1')]))
    expect((await importInto(sealed, bundle)).status).toBe(0)
    const seen = await Promise.all(Array.from({ length: 12 }, () => fetchDigest(at)))
    expect(new Set(seen.map(({ digest }) => digest))).toEqual(new Set([app.digest]))
  }
})

it('serves what no rule leads to, under its own name', async () => {
  await using sealed = await startSealed()
  const app = image({ seed: 'app' })
  await importInto(sealed, await write(sealed, layoutTar([named(app, 'elsewhere.example/team/app:v1')])))
  await pullImage(sealed, 'elsewhere.example/team/app', app, 'v1')
  expect(await statusOf(sealed, 'elsewhere.example/team/other/manifests/v1')).toBe(404)
})

it('names what a tool gave nothing but a tag', async () => {
  await using sealed = await startSealed()
  const app = image({ seed: 'app' })
  const path = await write(sealed, layoutTar([named(app, 'v1')]))
  const nameless = await command(sealed, 'import', path)
  expect([nameless.status, nameless.stdout, nameless.stderr]).toEqual([
    1,
    '',
    'cistern: the bundle is refused: nothing in it can be named: v1: it has only a tag there: --name REPOSITORY says where it belongs\n',
  ])
  const { status, stdout } = await command(sealed, 'import', path, '--name', 'up.example/app')
  expect([status, stdout]).toEqual([
    0,
    expect.stringMatching(/^1 of 1 images are whole: 4 blobs of \d.\d KiB came, 0 of 0 B were here\n$/),
  ])
  await pullImage(sealed, 'up.example/app', app, 'v1')
})

it('says what is missing without the base, fails, and takes what is whole', async () => {
  await using upstream = await startUpstream()
  await using online = await startCistern({ rules: [{ ...rule, upstream: upstream.url }] })
  const first = upstream.addImage('app', 'v1', image({ seed: 'app', layers: [4000, 5000] }))
  await pullImage(online, 'up.example/app', first, 'v1')
  const [base, delta, inventory] = ['base.tar', 'delta.tar', 'base.json'].map((name) =>
    join(online.directory, name),
  ) as [...[string, string, string]]
  await command(online, 'export', '--out', base, '--inventory', inventory)
  const next = upstream.addImage('app', 'v2', image({ seed: 'app', layers: [4000, 6000] }))
  const other = upstream.addImage('other', 'v1', image({ seed: 'other' }))
  await pullImage(online, 'up.example/app', next, 'v2')
  await pullImage(online, 'up.example/other', other, 'v1')
  await command(online, 'export', '--out', delta, '--since', inventory)

  await using sealed = await startSealed()
  const alone = await command(sealed, 'import', delta)
  expect(alone.status).toBe(1)
  expect(alone.stdout.split('\n')).toEqual([
    `up.example/app:v1 is not here: ${first.digest} is missing`,
    `up.example/app:v2 is not here: ${next.layers[0]?.digest} is missing`,
    expect.stringMatching(/^1 of 3 images are whole/),
    '',
  ])
  await pullImage(sealed, 'up.example/other', other, 'v1')
  expect(await statusOf(sealed, 'up.example/app/manifests/v2')).toBe(404)
  expect((await command(sealed, 'import', base)).status).toBe(0)
  const again = await importInto(sealed, delta)
  expect([again.status, again.report.stored.blobs]).toEqual([0, 0])
  await pullImage(sealed, 'up.example/app', next, 'v2')
})

/** An import whose bundle comes in by pieces. */
function startImport(cistern: CisternProcess) {
  const args = [join(root, 'src', 'main.ts'), 'import', '-', '--config', join(cistern.directory, 'cistern.yaml')]
  return spawn(process.execPath, args, { cwd: cistern.directory, stdio: ['pipe', 'pipe', 'pipe'] })
}

const large = image({ seed: 'large', layers: [1000, 3_000_000, 4_000_000] })
const bundleOf = (one: Image) => layoutTar([named(one, 'up.example/large:v1')])

it.each(['the command', 'the instance', 'a command of its own'])(
  'goes on where %s was killed',
  async (victim) => {
    await using sealed = await startSealed()
    const bundle = bundleOf(large)
    const stored = () => digestsOf(large).filter((digest) => existsSync(blobFile(sealed, digest)))
    if (victim === 'a command of its own') await sealed.stop()
    const importing = startImport(sealed)
    importing.stdin.on('error', () => {})
    importing.stdin.write(bundle.subarray(0, 3_500_000))
    await eventually(async () => expect(stored()).toHaveLength(4))
    expect(stored()).not.toContain(large.layers[2]?.digest)
    if (victim === 'the instance') await sealed.kill()
    else importing.kill('SIGKILL')
    await once(importing, 'close')
    if (victim !== 'the command') await sealed.restart()

    expect(await statusOf(sealed, `up.example/large/manifests/${large.digest}`)).toBe(404)
    expect(await statusOf(sealed, `up.example/large/blobs/${large.layers[1]?.digest}`)).toBe(404)
    const { status, report } = await importInto(sealed, await write(sealed, bundle))
    expect([status, report.stored.blobs, report.skipped.blobs]).toEqual([0, 1, 4])
    await pullImage(sealed, 'up.example/large', large, 'v1')
  },
  60_000,
)

it('ends cleanly by Ctrl-C', async () => {
  await using sealed = await startSealed()
  const importing = startImport(sealed)
  const stderr = text(importing.stderr)
  importing.stdin.on('error', () => {})
  importing.stdin.write(bundleOf(large).subarray(0, 3_500_000))
  await eventually(async () => expect(existsSync(blobFile(sealed, large.layers[1]?.digest ?? ''))).toBe(true))
  importing.kill('SIGINT')
  const [status] = await once(importing, 'close')
  expect([status, await stderr]).toEqual([1, 'cistern: stopped by SIGINT\n'])
  expect((await importInto(sealed, await write(sealed, bundleOf(large)))).status).toBe(0)
})

it('takes no more than fits, lets nothing go for it, and keeps nothing of it', async () => {
  await using sealed = await startSealed({ cache: { maxSize: '5MiB' } })
  const app = image({ seed: 'app', layers: [100_000] })
  expect((await importInto(sealed, await write(sealed, layoutTar([named(app, 'up.example/app:v1')])))).status).toBe(0)
  const { status, stderr } = await importInto(sealed, await write(sealed, bundleOf(large)))
  expect([status, stderr]).toEqual([
    1,
    expect.stringMatching(/^cistern: the bundle does not fit: a blob of it has 4000000 bytes, .* room for \d+ more\n$/),
  ])
  expect(digestsOf(large).filter((digest) => existsSync(blobFile(sealed, digest)))).toEqual([])
  await pullImage(sealed, 'up.example/app', app, 'v1')
})

it.each([
  [[], 'import is followed by one bundle'],
  [['a', 'b'], 'import is followed by one bundle'],
  [['a', '--name', 'up.example/app:v1'], '--name is a repository'],
])('takes %j for wrong usage', async (args, message) => {
  await using sealed = await startSealed()
  const { status, stderr } = await command(sealed, 'import', ...args)
  expect([status, stderr]).toEqual([2, expect.stringContaining(message)])
})

it('says what cannot be read', async () => {
  await using sealed = await startSealed()
  const missing = await command(sealed, 'import', 'nowhere.tar')
  expect([missing.status, missing.stderr]).toEqual([1, 'cistern: nowhere.tar cannot be read (ENOENT)\n'])
  const directory = await command(sealed, 'import', 'data')
  expect([directory.status, directory.stderr]).toEqual([1, expect.stringContaining('data is a directory: pack it')])
  const cut = await command(sealed, 'import', await write(sealed, bundleOf(large).subarray(0, 3_500_000)))
  expect([cut.status, cut.stderr]).toEqual([1, expect.stringContaining('the bundle is broken')])
  const other = await command(
    sealed,
    'import',
    await write(sealed, await readFile(join(sealed.directory, 'cistern.yaml'))),
  )
  expect([other.status, other.stderr]).toEqual([1, expect.stringContaining('the bundle is broken')])
})
