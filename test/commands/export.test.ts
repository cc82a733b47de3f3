import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { type Bundle, readBundle } from '../support/bundle.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { type Image, image, index, startUpstream } from '../support/faulty-upstream.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { sha256 } from '../support/images.ts'
import { root } from '../support/paths.ts'
import { blobFile, digestsOf, pullImage, pullIndex } from '../support/pull.ts'

const referencesIn = ({ index }: Bundle) =>
  index.manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name'])

/** Exports into `bundle.tar` of the directory of the cache under test. */
async function exportTo(cistern: CisternProcess, ...args: string[]) {
  const out = join(cistern.directory, 'bundle.tar')
  const { status, stdout, stderr } = await command(cistern, 'export', '--out', out, '--json', ...args)
  return { out, status, stderr, report: stdout === '' ? undefined : JSON.parse(stdout) }
}

it('puts all that is cached into a layout, verbatim, running or not', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('team/app', 'v1', image({ seed: 'app', layers: [2_000_000, 5000] }))
  upstream.addImage('team/app', 'latest', app)
  const both = upstream.addIndex('base', 'v2', index([image({ seed: 'amd64' }), image({ seed: 'arm64' })]))
  const untagged = upstream.addImage('base', undefined, image({ seed: 'untagged' }))
  await pullImage(cistern, 'up.example/team/app', app, 'v1')
  await pullImage(cistern, 'up.example/team/app', app, 'latest')
  await pullIndex(cistern, 'up.example/base', both, 'v2')
  await pullImage(cistern, 'up.example/base', untagged)
  upstream.forget()

  const running = await exportTo(cistern)
  expect([running.status, running.stderr]).toEqual([0, ''])
  const bundle = await readBundle(running.out)
  expect(bundle.paths.slice(0, 3)).toEqual(['oci-layout', 'index.json', 'inventory.json'])
  expect(new Set(bundle.paths).size).toBe(bundle.paths.length)
  for (const [digest, bytes] of bundle.blobs) expect(sha256(bytes)).toBe(digest)
  const [amd64, arm64] = both.manifests as [Image, Image]
  const wanted = [...[app, amd64, arm64, untagged].flatMap(digestsOf), both.digest]
  expect([...bundle.blobs.keys()].sort()).toEqual([...new Set(wanted)].sort())
  expect(bundle.blobs.get(both.digest)).toEqual(both.bytes)
  expect(referencesIn(bundle)).toEqual([
    'up.example/base:v2',
    `up.example/base@${untagged.digest}`,
    'up.example/team/app:latest',
    'up.example/team/app:v1',
  ])
  expect(bundle.inventory).toEqual(running.report.inventory)
  expect(bundle.inventory.images[0]).toEqual({
    reference: 'up.example/base:v2',
    digest: both.digest,
    mediaType: both.mediaType,
    size: [both, amd64, arm64].reduce((sum, { bytes }) => sum + bytes.length, 0) + blobBytes(amd64) + blobBytes(arm64),
    platforms: ['linux/amd64', 'linux/arm64'],
  })
  expect(upstream.log).toEqual([])

  const first = await readFile(running.out)
  await cistern.stop()
  const stopped = await exportTo(cistern, 'up.example')
  expect([stopped.status, (await readFile(stopped.out)).equals(first)]).toEqual([0, true])
})

const blobBytes = ({ config, layers }: Image) => [config, ...layers].reduce((sum, { size }) => sum + size, 0)

it('exports what is named, by tag, digest, repository, beginning or pattern', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({
    rules: [{ prefix: 'docker.io', upstream: upstream.url, dialect: 'docker-hub' }],
  })
  const [one, two] = [image({ seed: 'one' }), image({ seed: 'two' })]
  for (const [repository, tag, of] of [
    ['library/app', 'v1', one],
    ['library/app', 'v2', two],
    ['library/application', 'v1', two],
    ['team/app', 'v1', one],
  ] as const) {
    upstream.addImage(repository, tag, of)
    await pullImage(cistern, `docker.io/${repository}`, of, tag)
  }
  const exported = async (...names: string[]) => {
    const { status, out } = await exportTo(cistern, ...names)
    expect(status).toBe(0)
    return referencesIn(await readBundle(out))
  }
  const app = 'docker.io/library/app'

  expect(await exported('app:v1')).toEqual([`${app}:v1`])
  expect(await exported(`${app}:v2@${two.digest}`)).toEqual([`${app}@${two.digest}`])
  expect(await exported('app')).toEqual([`${app}:v1`, `${app}:v2`])
  expect(await exported('docker.io/library')).toEqual([`${app}:v1`, `${app}:v2`, 'docker.io/library/application:v1'])
  expect(await exported('docker.io/team/*', 'docker.io/library/app*:v2')).toEqual([
    `${app}:v2`,
    'docker.io/team/app:v1',
  ])
  for (const [name, message] of [
    ['app:v3', 'manifest v3 is unknown in docker.io/library/app'],
    ['docker.io/lib', 'repository docker.io/lib is not served here'],
    ['elsewhere/*', 'repository elsewhere/* is not served here'],
    ['UPPER', 'a repository is lower-case'],
  ] as const) {
    const { status, stderr } = await exportTo(cistern, name)
    expect([status, stderr]).toEqual([1, expect.stringContaining(message)])
  }
})

it('refuses what is not whole, unless platforms or --partial explain it', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const [amd64, arm64] = [image({ seed: 'amd64' }), image({ seed: 'arm64' })]
  const both = upstream.addIndex('both', 'v1', index([amd64, arm64]))
  await pullIndex(cistern, 'up.example/both', both, 'v1', [amd64])
  const broken = upstream.addImage('broken', 'v1', image({ seed: 'broken' }))
  await fetchDigest(`${cistern.url}/v2/up.example/broken/manifests/v1`)

  const whole = await exportTo(cistern)
  expect([whole.status, existsSync(whole.out)]).toEqual([1, false])
  expect(whole.report).toEqual({
    bytes: 0,
    incomplete: [
      {
        reference: 'up.example/both:v1',
        missing: [{ platform: 'linux/arm64', digest: arm64.digest }],
        included: false,
      },
      {
        reference: 'up.example/broken:v1',
        missing: digestsOf(broken)
          .slice(1)
          .map((digest) => ({ digest })),
        included: false,
      },
    ],
  })
  const { stdout } = await command(cistern, 'export', '--out', whole.out)
  expect(stdout).toContain(`up.example/both:v1 is not in it: linux/arm64 ${arm64.digest} is missing\n`)

  const chosen = await exportTo(cistern, '--platform', 'linux/amd64', 'up.example/both')
  expect([chosen.status, chosen.report.incomplete]).toEqual([0, []])
  const { blobs, inventory } = await readBundle(chosen.out)
  expect([...blobs.keys()].sort()).toEqual([both.digest, ...digestsOf(amd64)].sort())
  expect(inventory.images).toMatchObject([{ reference: 'up.example/both:v1', platforms: ['linux/amd64'] }])
  expect(inventory.images[0]).not.toHaveProperty('incomplete')

  const none = await exportTo(cistern, '--platform', 'linux/s390x', 'up.example/both')
  expect([none.status, none.report.incomplete]).toEqual([
    1,
    [{ reference: 'up.example/both:v1', missing: [{ platform: 'linux/s390x' }], included: false }],
  ])

  const partial = await exportTo(cistern, '--partial')
  expect([partial.status, partial.report.incomplete.map(({ included }: { included: boolean }) => included)]).toEqual([
    0,
    [true, false],
  ])
  const left = await readBundle(partial.out)
  expect(left.inventory.images).toMatchObject([{ reference: 'up.example/both:v1', incomplete: true }])
  expect([...left.blobs.keys()].sort()).toEqual([both.digest, ...digestsOf(amd64)].sort())
})

it('takes along what is about an image, by subject and by tag, and leaves it on wish', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('app', 'v1', image({ seed: 'app' }))
  const about = (subject: Image, seed: string) =>
    image({ seed, layers: [300], subject: subject.descriptor, artifactType: 'application/vnd.test.sbom' })
  const sbom = upstream.addImage('app', undefined, about(app, 'sbom'))
  const signedSbom = upstream.addImage('app', undefined, about(sbom, 'signature of the sbom'))
  const tag = `${app.digest.replace(':', '-')}.sig`
  const signature = upstream.addImage('app', tag, image({ seed: 'signature' }))
  for (const one of [app, sbom, signedSbom]) await pullImage(cistern, 'up.example/app', one)
  await pullImage(cistern, 'up.example/app', app, 'v1')
  await pullImage(cistern, 'up.example/app', signature, tag)

  for (const names of [[], ['up.example/app:v1']]) {
    const { status, out } = await exportTo(cistern, ...names)
    const bundle = await readBundle(out)
    expect(status).toBe(0)
    expect(new Set(referencesIn(bundle))).toEqual(
      new Set([
        'up.example/app:v1',
        `up.example/app:${tag}`,
        `up.example/app@${sbom.digest}`,
        `up.example/app@${signedSbom.digest}`,
      ]),
    )
    const entry = bundle.inventory.images.find(({ reference }) => reference === 'up.example/app:v1')
    expect(entry?.referrers).toEqual([sbom.digest, signature.digest].sort())
    const alone = await exportTo(cistern, '--no-referrers', ...names)
    expect(referencesIn(await readBundle(alone.out))).toEqual(['up.example/app:v1'])
  }
})

it('leaves out what an inventory says is there, so that a delta holds the blobs of one new image', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const old = upstream.addImage('app', 'v1', image({ seed: 'app', layers: [4000, 5000] }))
  await pullImage(cistern, 'up.example/app', old, 'v1')
  const file = join(cistern.directory, 'first.json')
  const first = await exportTo(cistern, '--inventory', file)
  const next = upstream.addImage('app', 'v2', image({ seed: 'app', layers: [4000, 6000] }))
  expect(next.layers[0]?.digest).toBe(old.layers[0]?.digest)
  await pullImage(cistern, 'up.example/app', next, 'v2')

  const delta = await exportTo(cistern, '--since', file, '--inventory', file)
  const bundle = await readBundle(delta.out)
  expect([...bundle.blobs.keys()].sort()).toEqual([next.digest, next.config.digest, next.layers[1]?.digest].sort())
  expect(referencesIn(bundle)).toEqual(['up.example/app:v1', 'up.example/app:v2'])
  expect(Object.keys(bundle.inventory.base).sort()).toEqual(digestsOf(old).sort())
  expect(delta.report.bytes).toBe(next.bytes.length + next.config.size + 6000)
  expect(Object.keys(first.report.inventory.blobs).sort()).toEqual(digestsOf(old).sort())

  const nothing = await exportTo(cistern, '--since', file)
  expect((await readBundle(nothing.out)).blobs.size).toBe(0)
})

it.each(['running', 'stopped'])('leaves no bundle where a blob is damaged on disk: %s', async (state) => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('app', 'v1', image({ seed: 'app', layers: [1000, 3_000_000, 5000] }))
  await pullImage(cistern, 'up.example/app', app, 'v1')
  const { digest = '' } = app.layers[1] ?? {}
  const bytes = await readFile(blobFile(cistern, digest))
  bytes[2_000_000] = (bytes[2_000_000] ?? 0) ^ 1
  await writeFile(blobFile(cistern, digest), bytes)
  if (state === 'stopped') await cistern.stop()
  const before = await readdir(cistern.directory)

  const { status, stderr } = await exportTo(cistern)
  expect([status, stderr]).toEqual([
    1,
    expect.stringMatching(state === 'running' ? /broke off/ : /has other bytes than its digest says/),
  ])
  expect(await readdir(cistern.directory)).toEqual(before)
  expect(existsSync(blobFile(cistern, digest))).toBe(false)
  if (state === 'running') expect(cistern.logs.join('\n')).toContain('has other bytes than its digest says')
  const again = await exportTo(cistern)
  expect([again.status, again.report.incomplete]).toMatchObject([1, [{ missing: [{ digest }] }]])
})

it.each(['running', 'stopped'])('ends where the bundle cannot go: %s', async (state) => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('app', 'v1', image({ layers: [8_000_000] }))
  await pullImage(cistern, 'up.example/app', app, 'v1')
  if (state === 'stopped') await cistern.stop()
  const nowhere = await command(cistern, 'export', '--out', 'nowhere/bundle.tar')
  expect([nowhere.status, nowhere.stderr]).toEqual([1, expect.stringContaining('no such file or directory')])

  const exporting = startExport(cistern, '-')
  exporting.stdout.once('data', () => exporting.stdout.destroy())
  const [stderr, [status]] = await Promise.all([text(exporting.stderr), once(exporting, 'close')])
  expect([status, stderr]).toEqual([1, 'cistern: the standard output was closed\n'])
})

it('ends cleanly by Ctrl-C, and leaves nothing', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  await pullImage(cistern, 'up.example/app', upstream.addImage('app', 'v1', image({ layers: [8_000_000] })), 'v1')
  const exporting = startExport(cistern, '-')
  await once(exporting.stdout, 'readable') // and nobody reads on
  exporting.kill('SIGINT')
  const closed = once(exporting, 'close')
  const stderr = text(exporting.stderr)
  exporting.stdout.resume()
  expect([(await closed)[0], await stderr]).toEqual([1, 'cistern: stopped by SIGINT\n'])
  expect((await exportTo(cistern)).status).toBe(0)
})

/** An export that is still at work. */
function startExport(cistern: CisternProcess, out: string) {
  const main = [
    join(root, 'src', 'main.ts'),
    'export',
    '--out',
    out,
    '--config',
    join(cistern.directory, 'cistern.yaml'),
  ]
  return spawn(process.execPath, main, { cwd: cistern.directory, stdio: ['ignore', 'pipe', 'pipe'] })
}

it('writes a bundle to the standard output, and its report beside it', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  await pullImage(cistern, 'up.example/app', upstream.addImage('app', 'v1', image()), 'v1')
  const { stdout, stderr } = await command(cistern, 'export', '--out', '-')
  expect(stderr).toMatch(/^-: 1 image, 4 blobs of \d+\.\d KiB\n$/)
  expect(stdout.startsWith('oci-layout\0')).toBe(true)
})

it.each([
  [[], 'wants --out'],
  [['--out', 'x', '--platform', 'Linux'], 'a platform is written like linux/amd64'],
  [['--out', 'x', '--since', 'cistern.yaml'], '--since cistern.yaml: this is no inventory'],
])('takes %j for wrong usage', async (args, message) => {
  await using cistern = await startCistern({ rules: [] })
  const { status, stderr } = await command(cistern, 'export', ...args)
  expect([status, stderr]).toEqual([2, expect.stringContaining(message)])
})

it('finds nothing to export in an empty cache, and makes none where there is none', async () => {
  await using cistern = await startCistern({ rules: [] })
  const out = join(cistern.directory, 'bundle.tar')
  const empty = await command(cistern, 'export', '--out', out)
  expect([empty.status, empty.stderr]).toEqual([1, 'cistern: nothing is cached that could be exported\n'])
  const nowhere = join(cistern.directory, 'nowhere')
  const { status, stderr } = await command(cistern, 'export', '--out', out, '--data-dir', nowhere)
  expect([status, stderr]).toEqual([1, `cistern: there is no cache in ${nowhere}\n`])
  expect([existsSync(nowhere), existsSync(out)]).toEqual([false, false])
  expect((await fetchBytes(`${cistern.adminUrl}/readyz`)).status).toBe(200)
})
