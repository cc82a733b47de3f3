import { appendFile, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Explanation } from '../../src/inspection/explanation.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { loginOf, type TestKey } from '../support/ecr.ts'
import { image, index, manifestOf, ociIndex, startUpstream } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'

async function explained(cistern: CisternProcess, ...args: string[]): Promise<Explanation> {
  const { status, stdout, stderr } = await command(cistern, 'explain', '--json', ...args)
  expect([status, stderr]).toEqual([0, ''])
  return JSON.parse(stdout)
}

it('explains a hit, a stale tag, a missing image and an unknown prefix, and asks nobody', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({
    rules: [
      {
        prefix: 'up.example',
        upstream: upstream.url,
        credential: { username: 'puller', password: 'canary-of-the-rule' },
        tagTtl: { stable: '1h', '*': '0' } as never,
        repositories: { deny: ['secret/*'] },
      },
    ],
  })
  const [amd64, arm64] = [image({ seed: 'amd64' }), image({ seed: 'arm64' })]
  upstream.addImage('team/app', undefined, amd64)
  upstream.addImage('team/app', undefined, arm64)
  const both = upstream.addIndex('team/app', 'stable', index([amd64, arm64]))
  upstream.addImage('team/app', 'nightly', amd64)
  const at = (path: string) => fetchDigest(`${cistern.url}/v2/up.example/team/app/${path}`)
  await at('manifests/stable')
  await at('manifests/nightly')
  await at(`manifests/${amd64.digest}`)
  for (const { digest } of [amd64.config, ...amd64.layers]) await at(`blobs/${digest}`)
  await at('manifests/nowhere')
  upstream.forget()

  const hit = await explained(cistern, 'up.example/team/app:stable')
  expect(hit).toMatchObject({
    repository: 'up.example/team/app',
    tag: 'stable',
    pull: 'served',
    offline: false,
    rule: {
      prefix: 'up.example',
      source: 'file',
      repository: 'team/app',
      upstreams: [{ upstream: upstream.url, credentials: ['puller, with the password of the configuration'] }],
    },
    cached: {
      digest: both.digest,
      whole: false,
      platforms: [
        { platform: 'linux/amd64', digest: amd64.digest, whole: true },
        { platform: 'linux/arm64', digest: arm64.digest, whole: false },
      ],
    },
    lastAnswer: { kind: 'ok', digest: both.digest },
    pullers: [{ name: 'everybody', may: 'anything' }],
  })
  expect(hit.freshness?.dueAt).toBe((hit.freshness?.checkedAt ?? 0) + 3_600_000)

  const stale = await explained(cistern, 'up.example/team/app:nightly')
  expect(stale).toMatchObject({
    pull: 'served after a check',
    cached: { digest: amd64.digest, whole: true, missing: 0 },
    freshness: { dueAt: stale.freshness?.checkedAt },
  })

  const missing = await explained(cistern, 'up.example/team/app:nowhere')
  expect(missing).toMatchObject({ pull: 'refused', lastAnswer: { kind: 'unknown' } })
  expect(missing.cached).toBeUndefined()
  expect((await explained(cistern, 'up.example/other')).lastAnswer).toBeUndefined()
  expect(await explained(cistern, 'up.example/secret/app')).toMatchObject({ pull: 'refused', pullers: [] })

  const unknown = await explained(cistern, 'registry.example/team/app:v1')
  expect(unknown).toEqual({
    repository: 'registry.example/team/app',
    tag: 'v1',
    prefixes: ['up.example'],
    offline: false,
    pull: 'refused',
    why: 'no rule leads there',
    pullers: [],
  })
  expect(upstream.log).toEqual([])

  const asked = await explained(cistern, 'up.example/other:v1', '--ask')
  expect(asked.lastAnswer?.kind).toBe('unknown')
  expect(upstream.log.length).toBeGreaterThan(0)

  const { stdout } = await command(cistern, 'explain', 'up.example/team/app:stable')
  expect(stdout).toMatch(
    /^image +up\.example\/team\/app:stable\npull +served\nrule +up\.example \(of the configuration\)\n/,
  )
  expect(stdout).toContain('linux/arm64: not whole\n')
  expect(stdout + JSON.stringify(hit)).not.toContain('canary')
})

it('explains the same where no instance runs, with who may pull and why not, as they then find', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({
    rules: [{ prefix: 'up.example', upstream: upstream.url }],
    config: { auth: { mode: 'required' } },
  })
  upstream.addImage('app', 'latest', image())
  const keyFor = async (user: string, ...policies: string[]): Promise<TestKey> => {
    const options = policies.flatMap((policy) => ['--policy', policy])
    const { stdout } = await command(cistern, 'keys', 'create', '--json', '--user', user, ...options)
    const { id, secret } = JSON.parse(stdout)
    return { accessKeyId: id, secretAccessKey: secret }
  }
  const policy = join(cistern.directory, 'cached.json')
  const Action = ['ecr:GetAuthorizationToken', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']
  await writeFile(policy, JSON.stringify({ Statement: { Effect: 'Allow', Action, Resource: '*' } }))
  const token = join(cistern.directory, 'token.json')
  const login = { Effect: 'Allow', Action: 'ecr:GetAuthorizationToken', Resource: '*' }
  await writeFile(token, JSON.stringify({ Statement: login }))
  const users = [
    await keyFor('reader', 'AmazonEC2ContainerRegistryPullOnly'),
    await keyFor('cached', policy),
    await keyFor('stranger', token),
  ]
  const statuses = async () => {
    const pulls: number[] = []
    for (const key of users.toReversed()) {
      const headers = await loginOf(cistern, key)
      pulls.unshift((await fetchDigest(`${cistern.url}/v2/up.example/app/manifests/latest`, headers)).status)
    }
    return pulls
  }

  const running = await explained(cistern, 'up.example/app')
  expect(running.tag).toBe('latest')
  expect(running.pullers).toMatchObject([
    { name: 'admin', may: 'anything' },
    { name: 'reader', may: 'anything' },
    { name: 'cached', may: 'cached', why: expect.stringContaining('ecr:BatchImportUpstreamImage') },
    { name: 'stranger', may: 'nothing', why: expect.stringContaining('ecr:BatchGetImage') },
  ])
  expect(await statuses()).toEqual([200, 404, 403])
  expect(await statuses()).toEqual([200, 200, 403])
  const again = await explained(cistern, 'up.example/app')
  await cistern.stop()
  const { lastAnswer: _, ...remembered } = again
  expect(await explained(cistern, 'up.example/app')).toEqual(remembered)
})

it('names users with passwords, and whoever has a client certificate', async () => {
  const rules = [{ prefix: 'up.example', upstream: 'http://127.0.0.1:9' }]
  const users = `mary:$2y$05$${'a'.repeat(53)}\n`
  await using cistern = await startCistern({ rules })
  const file = join(cistern.directory, 'users')
  await writeFile(file, users)
  const config = join(cistern.directory, 'cistern.yaml')
  await appendFile(config, `\nauth: { mode: required, htpasswd: { file: ${file} } }\n`)
  await cistern.stop()
  expect((await explained(cistern, 'up.example/app')).pullers).toEqual([
    expect.objectContaining({ name: 'admin' }),
    { name: 'mary', may: 'anything' },
  ])
  await rm(file)
  expect((await explained(cistern, 'up.example/app')).pullers).toContainEqual({
    name: 'users with passwords',
    may: 'nothing',
    why: 'the file of passwords cannot be read',
  })
  const open = (await readFile(config, 'utf8')).replace(
    /\nauth: .*\n/,
    '\ntls: { certFile: c, keyFile: k, clientCaFile: a }\n',
  )
  await writeFile(config, open)
  expect((await explained(cistern, 'up.example/app')).pullers).toEqual([
    { name: 'whoever has a client certificate', may: 'anything' },
  ])
})

it('tells what upstream refuses of an image', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('app', 'v1', image({ layers: [1000] }))
  const layer = app.layers[0]?.digest ?? ''
  const at = `${cistern.url}/v2/up.example/app`
  await fetchDigest(`${at}/manifests/v1`)
  upstream.fault('blob', { status: 403, times: 1 })
  expect((await fetchDigest(`${at}/blobs/${layer}`)).status).toBe(403)
  expect(await explained(cistern, 'up.example/app:v1')).toMatchObject({
    pull: 'fetched in part',
    cached: { missing: 2 },
    lastAnswer: { kind: 'ok' },
    failures: [{ digest: layer, kind: 'denied' }],
  })
  expect((await command(cistern, 'explain', 'up.example/app:v1')).stdout).toContain(`\nfailed    ${layer} 20`)
  await fetchDigest(`${at}/blobs/${layer}`)
  expect((await explained(cistern, 'up.example/app:v1')).failures).toBeUndefined()
})

it('prints nothing that a terminal obeys, and reads a bounded part of an index', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  const app = upstream.addImage('app', undefined, image())
  const platform = (os: unknown) => ({ ...app.descriptor, platform: { os, architecture: 'amd64' } })
  const entries = [platform('linux'), platform('\u001b[2J\u009b31m'), platform('x'.repeat(70)), platform(['linux'])]
  const digests = Array.from({ length: 3000 }, (_, at) => ({ digest: `sha256:${String(at).padStart(64, '0')}` }))
  const hostile = manifestOf({ schemaVersion: 2, mediaType: ociIndex, manifests: [...digests, ...entries] }, ociIndex)
  upstream.addManifest('app', 'v1', hostile)
  await fetchDigest(`${cistern.url}/v2/up.example/app/manifests/v1`)
  const { stdout } = await command(cistern, 'explain', 'up.example/app:v1')
  expect(stdout).toMatch(/\nplatform {2}linux\/amd64: not whole\npulled/)
  expect(stdout).not.toMatch(/[^\n\P{Cc}]/u)
})

it.each([[[]], [['a', 'b']], [['a', '--nonsense']]])('takes %j for wrong usage', async (args) => {
  await using cistern = await startCistern({ rules: [] })
  expect(await command(cistern, 'explain', ...args)).toMatchObject({ status: 2, stdout: '' })
})
