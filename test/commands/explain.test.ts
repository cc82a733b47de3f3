import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Explanation } from '../../src/inspection/explanation.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { image, index, startUpstream } from '../support/faulty-upstream.ts'
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
  expect(await explained(cistern, 'up.example/secret/app')).toMatchObject({ pull: 'refused', why: expect.any(String) })

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

it('explains the same where no instance runs, with who may pull and why not', async () => {
  await using upstream = await startUpstream()
  await using cistern = await startCistern({
    rules: [{ prefix: 'up.example', upstream: upstream.url }],
    config: { auth: { mode: 'required' } },
  })
  await command(cistern, 'keys', 'create', '--user', 'reader', '--policy', 'AmazonEC2ContainerRegistryPullOnly')
  const policy = join(cistern.directory, 'cached.json')
  const Action = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']
  await writeFile(policy, JSON.stringify({ Statement: { Effect: 'Allow', Action, Resource: '*' } }))
  await command(cistern, 'keys', 'create', '--user', 'cached', '--policy', policy)
  await command(cistern, 'keys', 'create', '--user', 'stranger')
  const running = await explained(cistern, 'up.example/app')
  await cistern.stop()
  const stopped = await explained(cistern, 'up.example/app')

  expect(stopped).toEqual(running)
  expect(stopped.tag).toBe('latest')
  expect(stopped.pullers).toMatchObject([
    { name: 'admin', may: 'anything' },
    { name: 'reader', may: 'anything' },
    { name: 'cached', may: 'cached', why: expect.stringContaining('ecr:BatchImportUpstreamImage') },
    { name: 'stranger', may: 'nothing', why: expect.stringContaining('ecr:BatchGetImage') },
  ])
})

it.each([[[]], [['a', 'b']], [['a', '--nonsense']]])('takes %j for wrong usage', async (args) => {
  await using cistern = await startCistern({ rules: [] })
  expect(await command(cistern, 'explain', ...args)).toMatchObject({ status: 2, stdout: '' })
})
