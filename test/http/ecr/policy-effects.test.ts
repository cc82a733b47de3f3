import {
  CreateRepositoryCommand,
  DeleteRegistryPolicyCommand,
  DescribeImagesCommand,
  PutRegistryPolicyCommand,
  SetRepositoryPolicyCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Asking, take, told } from '../../faults/client.ts'
import { Ground, ruleTo } from '../../faults/ground.ts'
import { Scratch } from '../../faults/scratch.ts'
import { accessKeysFor, clientsOf, firstKey, keyOf, loginOf } from '../../support/ecr.ts'
import { type FaultyUpstream, type Image, image, startUpstream } from '../../support/faulty-upstream.ts'

const MiB = 1024 * 1024
const account = '000000000000'
const arnOf = (user: string) => `arn:aws:iam::${account}:user/${user}`
const login = { Statement: { Effect: 'Allow', Action: 'ecr:GetAuthorizationToken', Resource: '*' } }
const pulling = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']
/** `guest` has no right but to log in. */
const users = { admin: ['AdministratorAccess'], reader: ['AmazonEC2ContainerRegistryReadOnly'], guest: [login] }
type User = keyof typeof users

const document = (...Statement: object[]) => JSON.stringify({ Version: '2012-10-17', Statement })
const deny = (who: object, more: object = {}) => document({ Effect: 'Deny', Action: 'ecr:*', ...who, ...more })
const refused = { status: 403, code: 'DENIED' }

const resources = new AsyncDisposableStack()
let upstream: FaultyUpstream
let ground: Ground
const headers = new Map<User, { authorization: string }>()

beforeAll(async () => {
  const scratch = resources.use(await Scratch.start())
  upstream = resources.use(await startUpstream())
  const accessKeys = await accessKeysFor(scratch.directory, users)
  const config = { auth: { mode: 'required' }, accessKeys }
  ground = resources.use(await Ground.start({ rules: [ruleTo('up.test', upstream.url)], config }))
  for (const user of Object.keys(users) as User[]) headers.set(user, await loginOf(ground.cistern, keyOf(user)))
})

afterAll(() => resources.disposeAsync())

const as = (user: User, asking: Asking = {}): Asking => ({ ...asking, headers: headers.get(user) ?? {} })
const pull = (user: User, path: string, asking?: Asking) => ground.at('up.test').get(path, as(user, asking))

async function send<T>(user: User, call: (ecr: ReturnType<typeof clientsOf>['ecr']) => Promise<T>): Promise<T> {
  using clients = clientsOf(ground.cistern, keyOf(user))
  return await call(clients.ecr)
}

const create = (repository: string) =>
  send('admin', (ecr) => ecr.send(new CreateRepositoryCommand({ repositoryName: `up.test/${repository}` })))

const govern = (repository: string, policyText: string) => {
  const repositoryName = `up.test/${repository}`
  return send('admin', (ecr) => ecr.send(new SetRepositoryPolicyCommand({ repositoryName, policyText, force: true })))
}

/** An image at upstream, and the paths by which it is pulled. */
function add(repository: string): { pushed: Image; paths: string[] } {
  const pushed = upstream.addImage(repository, 'v1', image({ seed: repository, layers: [3 * MiB] }))
  const [layer] = pushed.layers
  return { pushed, paths: ['manifests/v1', `manifests/${pushed.digest}`, `blobs/${layer?.digest}`] }
}

/** What a user is told, by each path, for GET and for HEAD. */
const answers = async (user: User, repository: string, paths: string[]) => {
  const got = await Promise.all(
    paths.flatMap((path) => ['GET', 'HEAD'].map((method) => pull(user, `${repository}/${path}`, { method }))),
  )
  return [...new Set(got.map(({ status }) => status))]
}

describe('the policy of a repository', () => {
  it('F83: denies a user pulls and the API, cold, warm and in flight, and asks upstream nothing for that', async () => {
    const repository = 'denied/app'
    const { pushed, paths } = add(repository)
    const describeImages = () =>
      send('reader', (ecr) => ecr.send(new DescribeImagesCommand({ repositoryName: `up.test/${repository}` })))
    await create(repository)
    await describeImages()
    await govern(repository, deny({ Principal: { AWS: arnOf('reader') } }))

    upstream.forget()
    expect(await answers('reader', repository, paths)).toEqual([403])
    expect(told(await pull('reader', `${repository}/manifests/v1`))).toEqual(refused)
    await expect(describeImages()).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: expect.stringContaining('explicit deny'),
    })
    expect(upstream.requests()).toEqual([])

    const { promise, resolve: goOn } = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: MiB, resume: promise, method: 'GET', times: 1 })
    const url = ground.at('up.test')
    const leading = await url.openBlob(repository, pushed.layers[0]?.digest ?? '', as('admin'))
    await take(leading, MiB / 2)
    expect(await answers('reader', repository, paths)).toEqual([403])
    goOn()
    leading.resume()
    await ground.keeps(pushed.layers[0]?.digest ?? '')

    expect(await answers('admin', repository, paths)).toEqual([200])
    expect(await answers('reader', repository, paths)).toEqual([403])
    expect(await answers('reader', 'other/app', add('other/app').paths)).toEqual([200])
  })

  it('lets a user pull who has no other right, from there alone', async () => {
    const repository = 'granted/app'
    const { paths } = add(repository)
    await create(repository)
    const grant = (...Action: string[]) =>
      govern(repository, document({ Effect: 'Allow', Principal: { AWS: arnOf('guest') }, Action }))
    expect(await answers('guest', repository, paths)).toEqual([403])
    await grant(...pulling)
    upstream.forget()
    expect(told(await pull('guest', `${repository}/manifests/v1`))).toEqual({ status: 404, code: 'MANIFEST_UNKNOWN' })
    expect(upstream.requests()).toEqual([])
    await grant(...pulling, 'ecr:BatchImportUpstreamImage')
    expect(await answers('guest', repository, paths)).toEqual([200])
    expect(await answers('guest', 'other/app', add('other/app').paths)).toEqual([403])
  })

  it('denies an administrator, too', async () => {
    const repository = 'explicit/app'
    const { paths } = add(repository)
    await create(repository)
    await govern(repository, deny({ Principal: { AWS: [account] }, Action: pulling }))
    expect(await answers('admin', repository, paths)).toEqual([403])
  })

  it('spares whom NotPrincipal names, and what NotAction names', async () => {
    const { paths } = add('spared/user')
    await create('spared/user')
    await govern('spared/user', deny({ NotPrincipal: { AWS: [account, arnOf('admin')] } }))
    expect(await answers('admin', 'spared/user', paths)).toEqual([200])
    expect(await answers('reader', 'spared/user', paths)).toEqual([403])

    const [manifest = '', , layer = ''] = add('spared/action').paths
    await create('spared/action')
    const NotAction = ['ecr:*RepositoryPolicy', 'ecr:BatchGet*', 'ecr:BatchImportUpstreamImage']
    await govern('spared/action', document({ Effect: 'Deny', Principal: '*', NotAction }))
    expect(await answers('reader', 'spared/action', [manifest])).toEqual([200])
    expect(await answers('reader', 'spared/action', [layer])).toEqual([403])
  })

  it('knows where a user comes from', async () => {
    const repository = 'addressed/app'
    const { paths } = add(repository)
    await create(repository)
    const Condition = { NotIpAddress: { 'aws:SourceIp': '127.0.0.1/32' } }
    await govern(repository, deny({ Principal: '*' }, { Condition }))
    expect(await answers('reader', repository, paths)).toEqual([200])
    const elsewhere = await pull('reader', `${repository}/manifests/v1`, { from: '127.0.0.2' })
    expect(told(elsewhere)).toEqual(refused)
  })
})

it('the policy of the registry denies by resource, on both faces', async () => {
  const { paths } = add('sealed/app')
  const open = add('open/app').paths
  await create('sealed/app')
  const Resource = `arn:aws:ecr:*:${account}:repository/up.test/sealed/*`
  const policyText = deny({ Principal: { AWS: arnOf('reader') } }, { Resource })
  await send('admin', (ecr) => ecr.send(new PutRegistryPolicyCommand({ policyText })))
  const sealed = { repositoryName: 'up.test/sealed/app' }
  expect(await answers('reader', 'sealed/app', paths)).toEqual([403])
  expect(await answers('reader', 'open/app', open)).toEqual([200])
  await expect(send('reader', (ecr) => ecr.send(new DescribeImagesCommand(sealed)))).rejects.toMatchObject({
    name: 'AccessDeniedException',
  })

  const others = deny({ Principal: { AWS: arnOf('reader') } }, { NotResource: Resource, Action: pulling })
  await send('admin', (ecr) => ecr.send(new PutRegistryPolicyCommand({ policyText: others })))
  expect(await answers('reader', 'sealed/app', paths)).toEqual([200])
  expect(await answers('reader', 'open/app', open)).toEqual([403])
  await send('admin', (ecr) => ecr.send(new DeleteRegistryPolicyCommand({})))
})

it('in open mode a policy that denies everybody denies those whom nobody knows', async () => {
  await using open = await Ground.start({ rules: [ruleTo('up.test', upstream.url)] })
  const { paths } = add('anonymous/app')
  const repositoryName = 'up.test/anonymous/app'
  using clients = clientsOf(open.cistern, await firstKey(open.cistern))
  for (const path of paths) expect((await open.at('up.test').get(`anonymous/app/${path}`)).status).toBe(200)
  const policyText = deny({ Principal: '*' }, { Action: pulling })
  await clients.ecr.send(new SetRepositoryPolicyCommand({ repositoryName, policyText }))
  for (const path of paths) expect((await open.at('up.test').get(`anonymous/app/${path}`)).status).toBe(403)
  expect((await open.get('/up.test/v2/anonymous/app/manifests/v1')).status).toBe(403)
  expect((await open.get('/v2/anonymous/app/manifests/v1?ns=up.test')).status).toBe(403)
})
