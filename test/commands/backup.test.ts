import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import {
  CreatePullThroughCacheRuleCommand,
  GetLifecyclePolicyCommand,
  PutLifecyclePolicyCommand,
} from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { clientsOf, firstKey, loginOf } from '../support/ecr.ts'
import { eventually } from '../support/eventually.ts'
import { image, startUpstream } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { root } from '../support/paths.ts'
import { pullImage } from '../support/pull.ts'

/** The files that the page on operations says to copy, as it names them. */
async function namedFiles(): Promise<string[]> {
  const page = await readFile(join(root, 'docs', 'operations.md'), 'utf8')
  const [, sentence = ''] = /^\*\*Backup\.\*\* ([^.]*(?:\.\w[^.]*)*)\./m.exec(page) ?? []
  return [...sentence.matchAll(/`([\w.-]+)`/g)].map(([, name = '']) => name)
}

const policyText = JSON.stringify({
  rules: [
    {
      rulePriority: 1,
      selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 14 },
      action: { type: 'expire' },
    },
  ],
})

/** Replaces what a stopped instance has. */
async function restore({ dataDir }: CisternProcess, copies: string, names: readonly string[]): Promise<void> {
  await rm(dataDir, { recursive: true })
  await mkdir(dataDir, { mode: 0o700 })
  for (const name of names) await cp(join(copies, name), join(dataDir, name))
}

it('what the API made outlives the loss of everything else, by the files that are to be copied', async () => {
  await using upstream = await startUpstream()
  upstream.requireBasic('someone', 'canary')
  const app = upstream.addImage('app', 'v1', image())
  const config = { auth: { mode: 'required' }, allowPrivateUpstreams: true }
  await using cistern = await startCistern({ rules: [], config })
  const key = await firstKey(cistern)
  using clients = clientsOf(cistern, key)
  const SecretString = JSON.stringify({ username: 'someone', accessToken: 'canary' })
  const secret = { Name: 'ecr-pullthroughcache/up', SecretString }
  const { ARN = '' } = await clients.secrets.send(new CreateSecretCommand(secret))
  const rule = { ecrRepositoryPrefix: 'up', upstreamRegistryUrl: upstream.url, credentialArn: ARN }
  await clients.ecr.send(new CreatePullThroughCacheRuleCommand(rule))
  const { stdout } = await command(cistern, 'keys', 'create', '--json', '--user', 'ci')
  const headers = await loginOf(cistern, key)
  const pull = () => fetchDigest(`${cistern.url}/v2/up/app/manifests/v1`, headers)
  expect(await pull()).toMatchObject({ status: 200, digest: app.digest })
  const lifecycle = { repositoryName: 'up/app', lifecyclePolicyText: policyText }
  await clients.ecr.send(new PutLifecyclePolicyCommand(lifecycle))

  const names = await namedFiles()
  expect(names).toContain('settings.db.backup')
  const copies = join(cistern.directory, 'copies')
  await mkdir(copies)
  await eventually(async () => {
    for (const name of names) await cp(join(cistern.dataDir, name), join(copies, name))
    using database = new DatabaseSync(join(copies, 'settings.db.backup'), { readOnly: true })
    expect(JSON.stringify(database.prepare('SELECT * FROM repositories').all())).toContain('countNumber')
  }, 30_000)
  await cistern.kill()
  await restore(cistern, copies, names)
  await cistern.restart()

  upstream.forget()
  expect(await pull()).toMatchObject({ status: 200, digest: app.digest })
  expect(upstream.requests('GET', 'manifest').map(({ status }) => status)).toContain(200)
  using again = clientsOf(cistern, key)
  const kept = await again.ecr.send(new GetLifecyclePolicyCommand({ repositoryName: 'up/app' }))
  expect(kept.lifecyclePolicyText).toBe(policyText)
  expect((await command(cistern, 'keys', 'list')).stdout).toContain(JSON.parse(stdout).id)
}, 60_000)

it('a site without upstreams comes back from a copy of the whole directory; without the metadata it has no tags', async () => {
  await using upstream = await startUpstream()
  const app = upstream.addImage('app', 'v1', image())
  await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
  await pullImage(cistern, 'up.example/app', app, 'v1')
  await cistern.stop()
  const copies = join(cistern.directory, 'copies')
  await cp(cistern.dataDir, copies, { recursive: true })
  await rm(cistern.dataDir, { recursive: true })
  const file = join(cistern.directory, 'cistern.yaml')
  await writeFile(file, `${await readFile(file, 'utf8')}\noffline: true\n`)

  await cp(copies, cistern.dataDir, { recursive: true })
  await cistern.restart()
  await pullImage(cistern, 'up.example/app', app, 'v1')
  await cistern.stop()
  for (const suffix of ['', '-wal', '-shm', '.backup', '.backup-previous']) {
    await rm(join(cistern.dataDir, `metadata.db${suffix}`), { force: true })
  }
  await cistern.restart()
  expect((await fetchDigest(`${cistern.url}/v2/up.example/app/manifests/v1`)).status).toBe(404)
  await pullImage(cistern, 'up.example/app', app)
  expect(upstream.requests()).toHaveLength(4)
})
