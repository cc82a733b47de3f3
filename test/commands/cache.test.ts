import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { image, index, startUpstream } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { root } from '../support/paths.ts'
import { blobFile, pullImage, pullIndex } from '../support/pull.ts'

const holds = (cistern: CisternProcess, digest = '') => existsSync(blobFile(cistern, digest))

async function json(cistern: CisternProcess, name: string, ...args: string[]) {
  const { status, stdout, stderr } = await command(cistern, name, '--json', ...args)
  expect([status, stderr]).toEqual([0, ''])
  return stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

it('lists what is cached, and counts what that spares, running or not', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('team/app', 'v1', image({ layers: [5000, 7000] }))
  const bytes = app.bytes.length + app.config.size + 12_000
  await pullImage(cistern, 'up.example/team/app', app, 'v1')
  await pullImage(cistern, 'up.example/team/app', app, 'v1')

  const [repository] = await json(cistern, 'ls')
  expect(repository).toEqual({ repository: 'up.example/team/app', images: 1, bytes, pulledAt: expect.any(Number) })
  expect(await json(cistern, 'ls', '--images', 'up.example/team')).toEqual([
    {
      repository: 'up.example/team/app',
      tags: ['v1'],
      digest: app.digest,
      mediaType: app.mediaType,
      size: bytes - app.bytes.length,
      pulledAt: expect.any(Number),
    },
  ])
  expect(await json(cistern, 'ls', 'down.example')).toEqual([])
  expect((await command(cistern, 'ls')).stdout).toMatch(
    /^REPOSITORY .*\nup\.example\/team\/app {2}1 {7}\d+\.\d KiB {2}20/,
  )

  const [running] = await json(cistern, 'stats')
  expect(running).toMatchObject({ bytes, objects: 4, since: expect.any(Number) })
  expect(running.rules).toEqual([
    {
      prefix: 'up.example',
      repositories: 1,
      bytes,
      objects: 4,
      hits: expect.any(Number),
      misses: 4,
      joined: expect.any(Number),
      sentBytes: 2 * bytes,
    },
  ])
  expect(running.rules[0].hits + running.rules[0].joined).toBe(4)
  expect(running.upstreams).toEqual([{ upstream: upstream.host, requests: upstream.log.length, pulledBytes: bytes }])
  await cistern.stop()
  const [stopped] = await json(cistern, 'stats')
  expect(stopped).toEqual({
    bytes,
    objects: 4,
    maxBytes: running.maxBytes,
    rules: [{ prefix: 'up.example', repositories: 1, bytes, objects: 4 }],
  })
  expect(await json(cistern, 'ls')).toEqual([repository])
})

it('checks a tag now, however fresh it is, and follows it', async () => {
  await using upstream = await startUpstream()
  const rules = [{ prefix: 'up.example', upstream: upstream.url, tagTtl: '1h' }]
  await using cistern = await startCistern({ rules, config: { timeouts: { retryPause: '1h' } } })
  const first = upstream.addImage('app', 'v1', image({ seed: 'first' }))
  const digest = async () => (await fetchDigest(`${cistern.url}/v2/up.example/app/manifests/v1`)).digest
  expect(await digest()).toBe(first.digest)

  expect((await command(cistern, 'refresh', 'up.example/app:v1')).stdout).toBe(
    `up.example/app:v1 still points to ${first.digest}\n`,
  )
  await upstream.goDown()
  const down = await command(cistern, 'refresh', 'up.example/app:v1')
  expect([down.status, down.stderr]).toEqual([
    1,
    `cistern: up.example/app:v1 could not be checked: ${upstream.host} cannot be reached\n`,
  ])
  expect(await digest()).toBe(first.digest)
  await upstream.comeUp()
  const second = upstream.addImage('app', 'v1', image({ seed: 'second' }))
  expect(await digest()).toBe(first.digest)

  const moved = { repository: 'up.example/app', tag: 'v1', before: first.digest, now: second.digest }
  expect(await json(cistern, 'refresh', 'up.example/app:v1')).toEqual([moved])
  expect(await digest()).toBe(second.digest)
  await cistern.stop()
  const third = upstream.addImage('app', 'v1', image({ seed: 'third' }))
  expect(await json(cistern, 'refresh', 'up.example/app:v1')).toEqual([
    { ...moved, before: second.digest, now: third.digest },
  ])
})

it.each([
  [`up.example/app@sha256:${'0'.repeat(64)}`, 'a digest never moves'],
  ['elsewhere.example/app:v1', 'elsewhere.example/app is not served here'],
])('does not check %s', async (reference, message) => {
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: 'http://127.0.0.1:9' }] })
  const { status, stderr } = await command(cistern, 'refresh', reference)
  expect([status, stderr]).toEqual([1, expect.stringContaining(message)])
})

it('purges a tag, an image and a repository, and frees what nothing else needs', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('app', 'v1', image({ layers: [5000], seed: 'app' }))
  upstream.addImage('app', 'v2', app)
  upstream.addImage('copy', 'v1', app)
  const other = upstream.addImage('app', 'other', image({ layers: [9000], seed: 'other' }))
  await pullImage(cistern, 'up.example/app', app, 'v1')
  await pullImage(cistern, 'up.example/app', app, 'v2')
  await pullImage(cistern, 'up.example/app', other, 'other')
  const [layer, otherLayer] = [app.layers[0]?.digest, other.layers[0]?.digest]

  expect(await json(cistern, 'purge', 'up.example/app:v2')).toMatchObject([
    { tags: ['v2'], images: [], freed: { bytes: 0, objects: 0 } },
  ])
  const size = other.bytes.length + other.config.size + 9000
  expect((await command(cistern, 'purge', 'up.example/app:other')).stdout).toMatch(
    /^up\.example\/app: 1 image and 1 tag went, and \d+\.\d KiB in 3 objects\n$/,
  )
  expect([holds(cistern, otherLayer), holds(cistern, layer)]).toEqual([false, true])
  await pullImage(cistern, 'up.example/app', other, 'other')
  await pullImage(cistern, 'up.example/copy', app, 'v1')
  await cistern.stop()
  const [purged] = await json(cistern, 'purge', 'up.example/app')
  expect(purged).toEqual({
    repository: 'up.example/app',
    images: [app.digest, other.digest].sort(),
    tags: expect.arrayContaining(['v1', 'other']),
    referenced: [],
    freed: { bytes: size, objects: 3 },
  })
  expect([holds(cistern, otherLayer), holds(cistern, layer)]).toEqual([false, true])
  const again = await command(cistern, 'purge', 'up.example/app:v1')
  expect([again.status, again.stderr]).toEqual([1, 'cistern: manifest v1 is unknown in up.example/app\n'])
})

it('purges what is being sent, and what is on its way, and nobody gets less of it', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const size = 64 * 1024 * 1024
  const app = upstream.addImage('app', 'v1', image({ layers: [size] }))
  const [layer] = app.layers
  await pullImage(cistern, 'up.example/app', app, 'v1')
  const at = `${cistern.url}/v2/up.example/app`

  const sending = await begun(`${at}/blobs/${layer?.digest}`)
  const [purged] = await json(cistern, 'purge', 'up.example/app:v1')
  expect(purged.freed).toEqual({ bytes: app.bytes.length + app.config.size + size, objects: 3 })
  expect(holds(cistern, layer?.digest)).toBe(false)
  expect(await digestOfRest(sending)).toBe(layer?.digest)

  const resume = Promise.withResolvers<void>()
  upstream.fault('blob', { pauseAfter: 1_000_000, resume: resume.promise, times: 1 })
  await fetchDigest(`${at}/manifests/v1`)
  const coming = await begun(`${at}/blobs/${layer?.digest}`)
  expect(await json(cistern, 'purge', `up.example/app@${app.digest}`)).toMatchObject([{ images: [app.digest] }])
  resume.resolve()
  expect(await digestOfRest(coming)).toBe(layer?.digest)
}, 60_000)

it('takes a tag from an image that an index needs, and leaves the image', async () => {
  await using upstream = await startUpstream()
  const rules = [{ prefix: 'up.example', upstream: upstream.url }]
  await using cistern = await startCistern({ rules, config: { publicUrl: 'http://cache.example:5000' } })
  const child = image()
  const both = upstream.addIndex('app', 'v1', index([child]))
  upstream.addImage('app', 'v1-amd64', child)
  await pullIndex(cistern, 'up.example/app', both, 'v1')
  await pullImage(cistern, 'up.example/app', child, 'v1-amd64')

  expect(await json(cistern, 'purge', 'cache.example:5000/up.example/app:v1-amd64')).toEqual([
    {
      repository: 'up.example/app',
      images: [],
      tags: ['v1-amd64'],
      referenced: [child.digest],
      freed: { bytes: 0, objects: 0 },
    },
  ])
  const { status, stdout } = await command(cistern, 'purge', `up.example/app@${child.digest}`)
  expect([status, stdout]).toEqual([1, expect.stringContaining(`${child.digest} stays: an index lists it`)])
  expect(holds(cistern, child.layers[0]?.digest)).toBe(true)
  expect(await json(cistern, 'purge', 'up.example/app:v1')).toMatchObject([{ freed: { objects: 5 } }])
  expect((await command(cistern, 'ls')).stdout).toMatch(/^REPOSITORY .*\nup\.example\/app {2}0 {7}0 B {3}-\n$/)
  const gone = await command(cistern, 'purge', 'up.example/elsewhere')
  expect([gone.status, gone.stderr]).toEqual([1, 'cistern: nothing of up.example/elsewhere is cached\n'])
})

it('ends a listing that nobody reads to its end', async () => {
  await using cistern = await startCistern({ rules: [{ prefix: 'a', upstream: 'http://127.0.0.1:9' }] })
  const args = [join(root, 'src', 'main.ts'), 'ls', '--config', join(cistern.directory, 'cistern.yaml')]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, 'close')])
  expect([status, stderr]).toEqual([0, ''])
})

/** An answer of which nothing is read yet. */
async function begun(url: string): Promise<IncomingMessage> {
  const [response] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage]
  return response
}

async function digestOfRest(response: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of response as AsyncIterable<Buffer>) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}
