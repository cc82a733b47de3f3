import { mkdtempDisposable, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateRepositoryCommand,
  CreateRepositoryCreationTemplateCommand,
  DeleteRepositoryCommand,
  DescribeRepositoriesCommand,
  PutImageTagMutabilityCommand,
  TagResourceCommand,
  UpdateRepositoryCreationTemplateCommand,
} from '@aws-sdk/client-ecr'
import { expect, it } from 'vitest'
import { startCistern } from '../support/cistern.ts'
import { accessKeysFor, clientsOf, keyOf, loginOf } from '../support/ecr.ts'
import { fetchDigest } from '../support/http.ts'
import { makeImage } from '../support/images.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'

const repositoryName = 'up/team/app'
const image = makeImage({ seed: 'repositories', layers: 1 })
const newer = makeImage({ seed: 'repositories-newer', layers: 1 })

const denying = (user: string) =>
  JSON.stringify({
    Statement: {
      Effect: 'Deny',
      Principal: { AWS: `arn:aws:iam::000000000000:user/${user}` },
      Action: 'ecr:BatchGetImage',
    },
  })

const ofTeam = (team: string) => ({
  Statement: [
    { Effect: 'Allow', Action: 'ecr:GetAuthorizationToken', Resource: '*' },
    {
      Effect: 'Allow',
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchImportUpstreamImage'],
      Resource: '*',
      Condition: { StringEquals: { 'aws:ResourceTag/team': team } },
    },
  ],
})

/** A cache for an administrator and others in front of a registry with one image. Tags are checked at each pull. */
async function start() {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-keys-')))
  const registry = starting.use(await startRegistry())
  await push(registry, 'team/app', 'v1', image)
  const users = { admin: ['AdministratorAccess'], reader: ['AmazonEC2ContainerRegistryReadOnly'], a: [ofTeam('a')] }
  const rules = [{ prefix: 'up', upstream: registry.proxy.url, tagTtl: '0' }]
  const config = { auth: { mode: 'required' }, accessKeys: await accessKeysFor(path, users) }
  const cistern = starting.use(await startCistern({ rules, config }))
  const { ecr } = starting.use(clientsOf(cistern, keyOf('admin')))
  const resources = starting.move()
  return {
    registry,
    cistern,
    ecr,
    pull: async (user: string, reference = 'v1') => {
      const url = `${cistern.url}/v2/${repositoryName}/manifests/${reference}`
      const { status, digest } = await fetchDigest(url, await loginOf(cistern, keyOf(user)))
      return status === 200 ? digest : status
    },
    names: async () =>
      ((await ecr.send(new DescribeRepositoriesCommand({}))).repositories ?? []).map((told) => told.repositoryName),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

withTools(...registryTools)('repositories', () => {
  it('begin with a pull, end by force, and begin again', async () => {
    await using given = await start()
    const { ecr, registry } = given
    expect(await given.names()).toEqual([])
    expect(await given.pull('reader')).toBe(image.digest)
    expect(await given.names()).toEqual([repositoryName])

    await expect(ecr.send(new DeleteRepositoryCommand({ repositoryName }))).rejects.toMatchObject({
      name: 'RepositoryNotEmptyException',
      message: `The repository with name '${repositoryName}' in registry with id '000000000000' cannot be deleted because it still contains images`,
    })
    expect(await given.names()).toEqual([repositoryName])
    const { repository } = await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }))
    expect(repository).toMatchObject({ repositoryName })
    expect(await given.names()).toEqual([])
    await expect(ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }))).rejects.toMatchObject({
      name: 'RepositoryNotFoundException',
    })

    registry.proxy.forget()
    expect(await given.pull('reader', image.digest)).toBe(image.digest)
    expect(registry.proxy.seen).not.toEqual([])
    expect(await given.names()).toEqual([repositoryName])
  })

  it('that are empty need no force to go, and take their settings along', async () => {
    await using given = await start()
    const create = new CreateRepositoryCommand({ repositoryName, imageTagMutability: 'IMMUTABLE' })
    await given.ecr.send(create)
    await given.ecr.send(new DeleteRepositoryCommand({ repositoryName }))
    expect(await given.pull('reader')).toBe(image.digest)
    const { repositories } = await given.ecr.send(new DescribeRepositoriesCommand({}))
    expect(repositories).toMatchObject([{ repositoryName, imageTagMutability: 'MUTABLE' }])
  })

  it('that are immutable keep their tags where they point, and upstream is not asked', async () => {
    await using given = await start()
    const { ecr, registry } = given
    expect(await given.pull('reader')).toBe(image.digest)
    await ecr.send(new PutImageTagMutabilityCommand({ repositoryName, imageTagMutability: 'IMMUTABLE' }))
    await push(registry, 'team/app', 'v1', newer)
    expect(await given.pull('reader')).toBe(image.digest)
    expect(registry.proxy.seen).toEqual([])

    await ecr.send(new PutImageTagMutabilityCommand({ repositoryName, imageTagMutability: 'MUTABLE' }))
    expect(await given.pull('reader')).toBe(newer.digest)
  })

  it('are for those whom a policy allows what has their tag', async () => {
    await using given = await start()
    const { ecr, registry } = given
    const { repository } = await ecr.send(new CreateRepositoryCommand({ repositoryName }))
    const tag = (Value: string) =>
      ecr.send(new TagResourceCommand({ resourceArn: repository?.repositoryArn ?? '', tags: [{ Key: 'team', Value }] }))
    registry.proxy.forget()
    expect(await given.pull('a')).toBe(403)
    expect(registry.proxy.seen).toEqual([])
    await tag('a')
    expect(await given.pull('a')).toBe(image.digest)
    await tag('b')
    expect(await given.pull('a')).toBe(403)
  })

  it('that are yet to be pulled obey their template from the first pull on, and no later change of it', async () => {
    await using given = await start()
    const { ecr, registry } = given
    const prefix = 'up/team'
    const template = {
      prefix,
      appliedFor: ['PULL_THROUGH_CACHE' as const],
      repositoryPolicy: denying('reader'),
      imageTagMutability: 'IMMUTABLE' as const,
      resourceTags: [{ Key: 'team', Value: 'a' }],
    }
    await ecr.send(new CreateRepositoryCreationTemplateCommand(template))
    expect(await given.pull('reader')).toBe(403)
    expect(registry.proxy.seen).toEqual([])
    expect(await given.names()).toEqual([])
    expect(await given.pull('a')).toBe(image.digest)
    expect(await given.pull('reader')).toBe(403)
    await push(registry, 'team/app', 'v1', newer)
    expect(await given.pull('a')).toBe(image.digest)

    const later = { prefix, repositoryPolicy: denying('a'), imageTagMutability: 'MUTABLE' as const, resourceTags: [] }
    await ecr.send(new UpdateRepositoryCreationTemplateCommand(later))
    expect(await given.pull('a')).toBe(image.digest)
    expect(await given.pull('reader')).toBe(403)
    expect(registry.proxy.seen).toEqual([])

    await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }))
    expect(await given.pull('a')).toBe(403)
    expect(await given.pull('reader')).toBe(newer.digest)
  })

  it('and templates outlive the metadata of what is cached', async () => {
    await using given = await start()
    const { cistern } = given
    const repositoryPolicy = denying('reader')
    const appliedFor = ['PULL_THROUGH_CACHE' as const]
    const template = { prefix: 'up', appliedFor, repositoryPolicy }
    await given.ecr.send(new CreateRepositoryCreationTemplateCommand(template))
    await given.ecr.send(new CreateRepositoryCommand({ repositoryName: 'up/made' }))
    expect(await given.pull('admin')).toBe(image.digest)
    await cistern.stop()
    for (const suffix of ['', '-wal', '-shm', '.backup', '.backup-previous']) {
      await rm(join(cistern.dataDir, `metadata.db${suffix}`), { force: true })
    }
    await cistern.restart()
    using again = clientsOf(cistern, keyOf('admin'))
    const { repositories } = await again.ecr.send(new DescribeRepositoriesCommand({}))
    expect(repositories).toMatchObject([{ repositoryName: 'up/made' }, { repositoryName }])
    expect(await given.pull('reader')).toBe(403)
    await again.ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }))
    expect(await given.pull('reader')).toBe(403)
  })
})
