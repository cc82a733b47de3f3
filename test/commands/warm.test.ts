import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import type { WarmEvent } from '../../src/transfer/warm.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, image, index, manifestOf, ociIndex, startUpstream } from '../support/faulty-upstream.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { root } from '../support/paths.ts'
import { pullImage, pullIndex } from '../support/pull.ts'

type Item = Extract<WarmEvent, { event: 'item' }>

const rulesFor = (upstream: FaultyUpstream, more = {}) => [{ prefix: 'up.example', upstream: upstream.url, ...more }]

/** The images of a job, in the order of their names, and how it ended. */
async function warm(cistern: CisternProcess, ...args: string[]) {
  const { status, stdout, stderr } = await command(cistern, 'warm', '--wait', '5s', ...args)
  const events = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
  const items: Item[] = events.filter(({ event }) => event === 'item')
  items.sort((a, b) => (a.reference < b.reference ? -1 : 1))
  return { status, stderr, items, events }
}

const states = (items: readonly Item[]) => Object.fromEntries(items.map(({ reference, state }) => [reference, state]))

const reasons = (items: readonly Item[]) =>
  Object.fromEntries(items.map(({ reference, reason }) => [reference, reason]))

it.each(['running', 'stopped'])(
  'fetches images with all they need, once, and each is whole without an upstream: %s',
  async (state) => {
    await using upstream = await startUpstream()
    await using cistern = await startCistern({
      rules: rulesFor(upstream),
      config: { publicUrl: 'http://cistern.example:5000' },
    })
    const both = upstream.addIndex('both', 'v1', index([image({ seed: 'amd64' }), image({ seed: 'arm64' })]))
    const app = upstream.addImage('team/app', 'latest', image({ seed: 'app', layers: [2_000_000, 3000] }))
    const pinned = upstream.addImage('team/app', undefined, image({ seed: 'pinned' }))
    if (state === 'stopped') await cistern.stop()
    const names = [
      'up.example/both:v1',
      'cistern.example:5000/up.example/team/app',
      `up.example/team/app@${pinned.digest}`,
    ]

    const { status, stderr, items, events } = await warm(cistern, ...names)
    expect([status, stderr]).toEqual([0, ''])
    expect(items).toMatchObject([
      { reference: names[0], state: 'fetched', digest: both.digest },
      { reference: 'up.example/team/app:latest', state: 'fetched', digest: app.digest },
      { reference: names[2], state: 'fetched', digest: pinned.digest },
    ])
    expect(items[1]?.bytes).toBe(app.bytes.length + app.config.size + 2_003_000)
    const bytes = items.reduce((sum, { bytes }) => sum + bytes, 0)
    expect(events.at(-1)).toMatchObject({ event: 'end', fetched: 3, here: 0, failed: 0, deferred: 0, bytes })
    expect(events[0]).toEqual({
      event: 'progress',
      items: { done: 0, total: 3, surveyed: 0 },
      bytes: { fetched: 0, known: 0 },
    })
    const gets = upstream.requests('GET').map(({ path }) => path)
    expect(new Set(gets).size).toBe(gets.length)
    expect(gets).toHaveLength(5 + 4 * 3)

    upstream.forget()
    const again = await warm(cistern, ...names)
    expect([again.status, new Set(Object.values(states(again.items)))]).toEqual([0, new Set(['here'])])
    expect(upstream.log).toEqual([])
    await upstream.goDown()
    if (state === 'stopped') await cistern.restart()
    await pullIndex(cistern, 'up.example/both', both, 'v1')
    await pullImage(cistern, 'up.example/team/app', app, 'latest')
    await pullImage(cistern, 'up.example/team/app', pinned)
  },
)

it('fetches of an index what is for some platforms, with what attests to them', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream) })
  const [amd64, arm64] = [image({ seed: 'amd64' }), image({ seed: 'arm64' })]
  const [attested, other] = [image({ seed: 'attests to amd64' }), image({ seed: 'attests to arm64' })]
  const entry = (one: typeof amd64, architecture: string, about?: string) => ({
    ...one.descriptor,
    platform: { os: about ? 'unknown' : 'linux', architecture: about ? 'unknown' : architecture },
    ...(about && { annotations: { 'vnd.docker.reference.digest': about } }),
  })
  const manifests = [
    ...[entry(amd64, 'amd64'), entry(arm64, 'arm64')],
    ...[entry(attested, '', amd64.digest), entry(other, '', arm64.digest)],
  ]
  const document = manifestOf({ schemaVersion: 2, mediaType: ociIndex, manifests }, ociIndex)
  upstream.addIndex('app', 'v1', { ...document, manifests: [amd64, arm64, attested, other] })

  const { status, items } = await warm(cistern, '--platform', 'linux/amd64', 'up.example/app:v1')
  expect([status, states(items)]).toEqual([0, { 'up.example/app:v1': 'fetched' }])
  const fetched = upstream.requests('GET', 'manifest').map(({ reference }) => reference)
  expect(fetched).toEqual(['v1', amd64.digest, attested.digest])
  const none = await warm(cistern, '--platform', 'linux/s390x', 'up.example/app:v1')
  expect([none.status, reasons(none.items)]).toEqual([1, { 'up.example/app:v1': 'it has no image for linux/s390x' }])
  const all = await warm(cistern, 'up.example/app:v1')
  expect([all.status, all.items[0]?.state]).toEqual([0, 'fetched'])
  expect(upstream.requests('GET', 'manifest')).toHaveLength(5)
})

it('fetches what is about images where that is asked for, by list and by tag', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream) })
  const app = upstream.addImage('app', 'v1', image({ seed: 'app' }))
  const sbom = upstream.addImage('app', undefined, image({ seed: 'sbom', subject: app.descriptor }))
  const signed = upstream.addImage('app', undefined, image({ seed: 'signature of the sbom', subject: sbom.descriptor }))
  const tag = `${app.digest.replace(':', '-')}.sig`
  const signature = upstream.addImage('app', tag, image({ seed: 'signature' }))
  await warm(cistern, 'up.example/app:v1')
  expect(upstream.requests(undefined, 'referrers')).toEqual([])

  const { status, items } = await warm(cistern, '--referrers', 'up.example/app:v1')
  expect([status, items[0]?.state]).toEqual([0, 'fetched'])
  await upstream.goDown()
  const list = await fetchBytes(`${cistern.url}/v2/up.example/app/referrers/${app.digest}`)
  expect(JSON.parse(list.bytes.toString()).manifests).toMatchObject([{ digest: sbom.digest }])
  await pullImage(cistern, 'up.example/app', signature, tag)
  for (const one of [sbom, signed]) await pullImage(cistern, 'up.example/app', one)
})

it('tells of each image what is wrong, and fetches the others', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream, { repositories: { deny: ['secret/*'] } }) })
  upstream.addImage('app', 'v1', image({ seed: 'app' }))
  const corrupt = upstream.addImage('corrupt', 'v1', image({ seed: 'corrupt' }))
  upstream.fault('blob', { corruptAt: 5, when: ({ reference }) => reference === corrupt.layers[0]?.digest })
  const names = ['app:v1', 'corrupt:v1', 'missing:v1', 'secret/app:v1'].map((name) => `up.example/${name}`)
  const { status, items } = await warm(cistern, ...names, 'elsewhere.example/app', 'UPPER')
  expect(status).toBe(1)
  expect(reasons(items)).toEqual({
    UPPER: expect.stringContaining('a repository is lower-case'),
    'elsewhere.example/app': 'repository elsewhere.example/app is not served here',
    'up.example/app:v1': undefined,
    'up.example/corrupt:v1': expect.stringContaining('other bytes than those of'),
    'up.example/missing:v1': expect.stringContaining('manifest v1 is unknown'),
    'up.example/secret/app:v1': 'repository secret/app is not served here',
  })
  await cistern.stop()
  const offline = await warm(cistern, '--offline', 'up.example/app:v1')
  expect([offline.status, reasons(offline.items)]).toEqual([
    1,
    { 'up.example/app:v1': 'this instance is offline: no upstream is asked' },
  ])
})

it('fetches no end of manifests for no image', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream) })
  const large = Array.from({ length: 5 }, (_, i) => manifestOf({ layers: [], pad: `${i}${'x'.repeat(7_900_000)}` }))
  upstream.addIndex('large', 'v1', index(large))
  const { status, items } = await warm(cistern, 'up.example/large:v1')
  expect([status, reasons(items)]).toEqual([1, { 'up.example/large:v1': 'it has more manifests than an image should' }])
})

it('stops asking an upstream that allows no more for long, says what is left, and goes on the next time', async () => {
  await using upstream = await startUpstream()
  await using other = await startUpstream()
  await using cistern = await startCistern({
    rules: [...rulesFor(upstream), { prefix: 'other.example', upstream: other.url }],
  })
  const names = ['a', 'b', 'c', 'd', 'e'].map((name) => {
    upstream.addImage(name, 'v1', image({ seed: name }))
    return `up.example/${name}:v1`
  })
  other.addImage('app', 'v1', image({ seed: 'other' }))
  upstream.fault('manifest', { after: 2, status: 429, headers: { 'retry-after': '3600' } })

  const first = await warm(cistern, '--concurrency', '1', ...names, 'other.example/app:v1')
  expect(first.status).toBe(1)
  expect(states(first.items)).toEqual({
    ...{ 'up.example/a:v1': 'fetched', 'up.example/b:v1': 'fetched', 'other.example/app:v1': 'fetched' },
    ...{ 'up.example/c:v1': 'deferred', 'up.example/d:v1': 'deferred', 'up.example/e:v1': 'deferred' },
  })
  expect(first.items[3]).toMatchObject({
    reason: expect.stringContaining('allows no more requests'),
    retryAfterMs: 3_600_000,
  })
  expect(upstream.requests('GET', 'manifest').map(({ repository }) => repository)).toEqual(['a', 'b', 'c'])

  upstream.heal()
  await cistern.restart()
  upstream.forget()
  const second = await warm(cistern, ...names)
  expect([second.status, Object.values(states(second.items))]).toEqual([
    0,
    ['here', 'here', ...Array(3).fill('fetched')],
  ])
  expect(new Set(upstream.requests().map(({ repository }) => repository))).toEqual(new Set(['c', 'd', 'e']))
})

it('waits for an upstream that says to come again soon', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream) })
  upstream.addImage('app', 'v1', image())
  upstream.fault('manifest', { times: 1, status: 429, headers: { 'retry-after': '1' } })
  const { status, items, events } = await warm(cistern, 'up.example/app:v1')
  expect([status, items[0]?.state]).toEqual([0, 'fetched'])
  expect(events.filter(({ event }) => event === 'waiting')).toEqual([
    { event: 'waiting', upstream: upstream.host, waitMs: expect.any(Number) },
  ])
})

it('leaves to clients what the rule keeps for them', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream, { budget: { reserve: 20 } }) })
  const names = ['a', 'b', 'c'].map((name) => {
    upstream.addImage(name, 'v1', image({ seed: name }))
    return `up.example/${name}:v1`
  })
  upstream.fault('manifest', { headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '20;w=21600' } })
  const { status, items } = await warm(cistern, '--concurrency', '1', ...names)
  expect([status, states(items)]).toEqual([
    1,
    { 'up.example/a:v1': 'fetched', 'up.example/b:v1': 'deferred', 'up.example/c:v1': 'deferred' },
  ])
  expect(items[1]).toMatchObject({ reason: `what ${upstream.host} still allows is kept for clients` })
  expect(items[1]?.retryAfterMs).toBeGreaterThan(21_000_000)
  expect((await fetchDigest(`${cistern.url}/v2/up.example/b/manifests/v1`)).status).toBe(200)
})

it('says what does not fit, and lets nothing go for it that it has fetched', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream), config: { cache: { maxSize: '6MiB' } } })
  const old = upstream.addImage('old', 'v1', image({ seed: 'old', layers: [2_500_000] }))
  await pullImage(cistern, 'up.example/old', old, 'v1')
  const sizes = { a: 2_000_000, b: 2_500_000, c: 2_600_000 }
  const names = Object.entries(sizes).map(([name, size]) => {
    upstream.addImage(name, 'v1', image({ seed: name, layers: [size] }))
    return `up.example/${name}:v1`
  })
  const { status, items } = await warm(cistern, '--concurrency', '1', ...names)
  expect(status).toBe(1)
  expect(reasons(items)).toEqual({
    'up.example/a:v1': undefined,
    'up.example/b:v1': undefined,
    'up.example/c:v1': 'it does not fit: there is no room for 2600000 bytes',
  })
  const again = await warm(cistern, ...names.slice(0, 2))
  expect([again.status, Object.values(states(again.items))]).toEqual([0, ['here', 'here']])
  expect((await fetchDigest(`${cistern.url}/v2/up.example/old/manifests/${old.digest}`)).status).toBe(200)
})

/** A job whose output is read when it is over. */
function startWarm(cistern: CisternProcess, ...args: string[]) {
  const main = [join(root, 'src', 'main.ts'), 'warm', ...args, '--config', join(cistern.directory, 'cistern.yaml')]
  const child = spawn(process.execPath, main, { cwd: cistern.directory, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  return { child, ended: ended.then(([[status], stdout, stderr]) => ({ status, stdout, stderr })) }
}

it.each(['SIGINT', 'SIGKILL'] as const)(
  'ends with the command, by %s, and what was on its way is not fetched twice',
  async (signal) => {
    await using upstream = await startUpstream()
    await using cistern = await startCistern({ rules: rulesFor(upstream) })
    const first = upstream.addImage('first', 'v1', image({ seed: 'first', layers: [3_000_000] }))
    upstream.addImage('second', 'v1', image({ seed: 'second' }))
    const going = Promise.withResolvers<void>()
    const layer = first.layers[0]?.digest ?? ''
    upstream.fault('blob', {
      pauseAfter: 1_000_000,
      resume: going.promise,
      times: 1,
      when: ({ reference }) => reference === layer,
    })

    const names = ['up.example/first:v1', 'up.example/second:v1']
    const { child, ended } = startWarm(cistern, '--concurrency', '1', ...names)
    await eventually(async () =>
      expect(upstream.requests('GET', 'blob', layer)[0]?.sent).toBeGreaterThanOrEqual(1_000_000),
    )
    child.kill(signal)
    const { status, stdout, stderr } = await ended
    expect([status, stderr]).toEqual(signal === 'SIGINT' ? [1, 'cistern: stopped by SIGINT\n'] : [null, ''])
    expect(stdout.includes('"event":"end"')).toBe(signal === 'SIGINT')
    going.resolve()
    const again = await warm(cistern, ...names)
    expect([again.status, Object.values(states(again.items)).length]).toEqual([0, 2])
    const paths = upstream.requests('GET').map(({ path }) => path)
    expect(paths.filter((path) => path.endsWith(layer))).toHaveLength(1)
    expect(new Set(paths).size).toBe(paths.length)
  },
)

it('goes on where the instance was killed', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream) })
  const app = upstream.addImage('app', 'v1', image({ seed: 'app', layers: [1000, 3_000_000] }))
  const layer = app.layers[1]?.digest ?? ''
  upstream.fault('blob', {
    pauseAfter: 1_000_000,
    resume: new Promise(() => {}),
    times: 1,
    when: ({ reference }) => reference === layer,
  })
  const { ended } = startWarm(cistern, 'up.example/app:v1')
  await eventually(async () =>
    expect(upstream.requests('GET', 'blob', layer)[0]?.sent).toBeGreaterThanOrEqual(1_000_000),
  )
  await eventually(async () => expect(upstream.requests('GET', 'blob')).toHaveLength(3))
  await cistern.kill()
  const { status, stderr } = await ended
  expect([status, stderr]).toEqual([1, expect.stringContaining('broke off')])
  await cistern.restart()
  upstream.forget()
  const again = await warm(cistern, 'up.example/app:v1')
  expect([again.status, states(again.items)]).toEqual([0, { 'up.example/app:v1': 'fetched' }])
  expect(upstream.requests('GET', 'blob', layer)).toHaveLength(1)
})

it('goes on with a blob where its upstream broke off', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream) })
  const app = upstream.addImage('app', 'v1', image({ seed: 'app', layers: [3_000_000] }))
  const layer = app.layers[0]?.digest ?? ''
  upstream.fault('blob', { resetAfter: 1_500_000, times: 1, when: ({ reference }) => reference === layer })
  const { status, items } = await warm(cistern, 'up.example/app:v1')
  expect([status, items[0]?.bytes]).toEqual([0, app.bytes.length + app.config.size + 3_000_000])
  const ranges = upstream.requests('GET', 'blob', layer).map(({ headers }) => headers.range)
  expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-/)])
})

it('shares a transfer with clients, and counts as they do', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: rulesFor(upstream) })
  const app = upstream.addImage('app', 'v1', image({ seed: 'app', layers: [3_000_000] }))
  const layer = app.layers[0]?.digest ?? ''
  const going = Promise.withResolvers<void>()
  upstream.fault('blob', { pauseAfter: 1_000_000, resume: going.promise, when: ({ reference }) => reference === layer })
  const warming = warm(cistern, 'up.example/app:v1')
  await upstream.seen(1, 'GET', 'blob', layer)
  const client = fetchDigest(`${cistern.url}/v2/up.example/app/blobs/${layer}`)
  going.resolve()
  expect([(await client).digest, (await warming).status]).toEqual([layer, 0])
  expect(upstream.requests('GET', 'blob', layer)).toHaveLength(1)
  const metrics = (await fetchBytes(`${cistern.adminUrl}/metrics`)).bytes.toString()
  expect(metrics).toMatch(/cistern_upstream_request_duration_seconds_count\{[^}]*kind="manifest"[^}]*\} 1\n/)
})

it('takes lists, manifests and charts, from files and the standard input', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({
    rules: [{ prefix: 'docker.io', upstream: upstream.url, dialect: 'docker-hub' }],
  })
  for (const name of ['library/a', 'library/b', 'team/c', 'team/d']) {
    upstream.addImage(name, name.endsWith('d') ? '1.5' : 'latest', image({ seed: name }))
  }
  const file = async (name: string, content: string) => {
    await writeFile(join(cistern.directory, name), content)
    return name
  }
  const list = await file('images.txt', '# ours\na\n')
  const pods = await file(
    'pods.yaml',
    'apiVersion: v1\nkind: Pod\nspec: { containers: [{ image: b }, { image: team/c }] }\n',
  )
  await file('Chart.yaml', 'name: d\nappVersion: "1.5"\n')
  await file('values.yaml', 'image: { repository: team/d }\nbroken: { image: { repository: "{{ x }}", tag: "1" } }\n')
  const { status, items, stderr } = await warm(cistern, list, pods, './')
  expect(states(items)).toEqual({
    ...{ 'docker.io/library/a:latest': 'fetched', 'docker.io/library/b:latest': 'fetched' },
    ...{ 'docker.io/team/c:latest': 'fetched', 'docker.io/team/d:1.5': 'fetched' },
  })
  expect([status, stderr]).toEqual([1, expect.stringContaining('chart d: broken.image is "{{ x }}:1"')])
})

it.each([
  [[], 'warm is followed by images'],
  [['./nowhere.txt'], './nowhere.txt: it cannot be read (ENOENT)'],
  [['a', '--platform', 'amd64'], 'a platform is written like linux/amd64'],
  [['a', '--concurrency', '0'], '--concurrency is a number from 1 to 64'],
  [['a', '--wait', 'soon'], '--wait is a duration'],
  [['cistern.yaml', './data'], 'data: this is no Helm chart'],
])('takes %j for wrong usage', async (args, message) => {
  await using cistern = await startCistern({ rules: [] })
  const { status, stderr } = await command(cistern, 'warm', ...args)
  expect([status, stderr]).toEqual([2, expect.stringContaining(message)])
})
