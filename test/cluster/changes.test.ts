import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreatePullThroughCacheRuleCommand,
  CreateRepositoryCommand,
  DeletePullThroughCacheRuleCommand,
  DeleteRepositoryPolicyCommand,
  SetRepositoryPolicyCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { command } from '../support/command.ts'
import { clientsOf, firstKey, loginOf, type TestKey } from '../support/ecr.ts'
import { eventually } from '../support/eventually.ts'
import { type Blob, image, randomBlob } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { askEach, type Cluster, type Held, holdEach, isAlive, letGo, startCluster } from './fronts.ts'

const MiB = 1024 * 1024

describe('what changes', () => {
  let cluster: Cluster
  let held: Held[]
  let admin: TestKey
  let authorization: string

  beforeAll(async () => {
    cluster = await startCluster({ auth: { mode: 'required' }, allowPrivateUpstreams: true })
    held = await holdEach(cluster.cistern)
    admin = await firstKey(cluster.cistern)
    ;({ authorization } = await loginOf(cluster.cistern, admin))
  })
  afterAll(async () => {
    await letGo(held)
    await cluster[Symbol.asyncDispose]()
  })

  const statuses = async (path: string, login = authorization) =>
    (await askEach(held, path, `Authorization: ${login}`)).map(({ status }) => status)

  /** An image and a blob of which each front remembers that it may give them to whoever has the login. */
  async function warm(repository: string, login = authorization): Promise<{ paths: string[]; blob: Blob }> {
    const { upstream, cistern } = cluster
    upstream.addImage(repository, 'v1', image({ seed: repository }))
    const blob = upstream.addBlob(repository, randomBlob(MiB, repository.length))
    const paths = [`/v2/a/${repository}/manifests/v1`, `/v2/a/${repository}/blobs/${blob.digest}`]
    for (const path of paths) {
      const asked = () => fetchDigest(`${cistern.url}${path}`, { authorization: login })
      await eventually(async () => expect((await asked()).headers['cache-status']).toMatch(/^cistern; hit/))
      for (let round = 0; round < 3; round++) expect(await statuses(path, login)).toEqual([200, 200])
    }
    return { paths, blob }
  }

  it('F86: a policy denies in the very next request to each, whatever they remember, and allows as soon again', async () => {
    const { paths } = await warm('policed')
    using clients = clientsOf(cluster.cistern, admin)
    const repositoryName = 'a/policed'
    await clients.ecr.send(new CreateRepositoryCommand({ repositoryName })).catch(() => {})
    const statement = { Effect: 'Deny', Principal: '*', NotAction: 'ecr:*RepositoryPolicy' }
    const policyText = JSON.stringify({ Version: '2012-10-17', Statement: statement })
    for (let round = 0; round < 5; round++) {
      for (const path of paths) expect(await statuses(path)).toEqual([200, 200])
      await clients.ecr.send(new SetRepositoryPolicyCommand({ repositoryName, policyText }))
      for (const path of paths) expect(await statuses(path)).toEqual([403, 403])
      await clients.ecr.send(new DeleteRepositoryPolicyCommand({ repositoryName }))
    }
  })

  it('F86: a key that is revoked is refused by each in the very next request', async () => {
    const made = await command(cluster.cistern, 'keys', 'create', '--user', 'ci', '--policy', 'AdministratorAccess')
    const [accessKeyId = '', secretAccessKey = ''] = made.stdout.matchAll(/=(.+)$/gm).map(([, value]) => value ?? '')
    const { authorization: login } = await loginOf(cluster.cistern, { accessKeyId, secretAccessKey })
    const { paths } = await warm('keyed', login)
    expect((await command(cluster.cistern, 'keys', 'revoke', accessKeyId)).status).toBe(0)
    for (const path of paths) expect(await statuses(path, login)).toEqual([401, 401])
    for (const path of paths) expect(await statuses(path)).toEqual([200, 200])
  })

  it('a rule is in force for each with the answer that it was made, and out of it once it is deleted', async () => {
    const { upstream } = cluster
    upstream.addImage('ruled', 'v1', image({ seed: 'ruled' }))
    using clients = clientsOf(cluster.cistern, admin)
    const path = '/v2/made/ruled/manifests/v1'
    const ecrRepositoryPrefix = 'made'
    for (let round = 0; round < 3; round++) {
      expect(await statuses(path)).toEqual(round === 0 ? [404, 404] : [200, 200]) // what is cached is there without a rule
      const rule = { ecrRepositoryPrefix, upstreamRegistryUrl: upstream.url }
      await clients.ecr.send(new CreatePullThroughCacheRuleCommand(rule))
      expect(await statuses(path)).toEqual([200, 200])
      await clients.ecr.send(new DeletePullThroughCacheRuleCommand({ ecrRepositoryPrefix }))
      expect(await statuses('/v2/made/other/manifests/v1')).toEqual([404, 404])
    }
  })

  it('an image that is purged is fetched anew, whoever of them is asked', async () => {
    const { paths, blob } = await warm('purged')
    const { upstream, cistern } = cluster
    const before = upstream.requests('GET', 'blob', blob.digest).length
    expect((await command(cistern, 'purge', 'a/purged')).status).toBe(0)
    for (const path of paths) expect(await statuses(path)).toEqual([200, 200])
    expect(upstream.requests('GET', 'blob', blob.digest).length).toBe(before + 1)
  })

  it('a blob that is damaged while they may read it is fetched anew', async () => {
    const { paths, blob } = await warm('damaged')
    const { upstream, cistern } = cluster
    const hex = blob.digest.slice('sha256:'.length)
    await truncate(join(cistern.dataDir, 'v1', 'blobs', 'sha256', hex.slice(0, 2), hex), 1000)
    const [, path = ''] = paths
    for (const got of await askEach(held, path, `Authorization: ${authorization}`)) {
      expect([got.status, got.body.equals(blob.bytes())]).toEqual([200, true])
    }
    expect(upstream.requests('GET', 'blob', blob.digest)).toHaveLength(2)
  })

  it('a worker that does not say that it knows of one is ended before anybody is told that it is in force', async () => {
    const { paths } = await warm('silent')
    const { cistern } = cluster
    const silent = held[0]?.front ?? 0
    process.kill(silent, 'SIGSTOP')
    expect((await command(cistern, 'purge', 'a/silent')).status).toBe(0)
    expect(isAlive(silent)).toBe(false)
    await letGo(held)
    held = await holdEach(cistern)
    for (const path of paths) expect(await statuses(path)).toEqual([200, 200])
  })
})
