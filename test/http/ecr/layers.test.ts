import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  BatchCheckLayerAvailabilityCommand,
  GetDownloadUrlForLayerCommand,
  SetRepositoryPolicyCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { digestOfBytes } from '../../faults/client.ts'
import { Ground } from '../../faults/ground.ts'
import { clientsOf } from '../../support/ecr.ts'
import { eventually } from '../../support/eventually.ts'
import { image } from '../../support/faulty-upstream.ts'

const none = `sha256:${'0'.repeat(64)}`
const secretAccessKey = 'secret-canary-of-layers'
const cachedOnly = { Statement: { Effect: 'Allow', Action: 'ecr:GetDownloadUrlForLayer', Resource: '*' } }

let resources: AsyncDisposableStack
let ground: Ground
let clients: ReturnType<typeof clientsOf>
let visitor: ReturnType<typeof clientsOf>
const tokens: string[] = []

beforeAll(async () => {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-layers-')))
  const secretFile = join(path, 'secret')
  await writeFile(secretFile, secretAccessKey)
  const accessKeys = [
    { id: 'ADMIN', secretFile, user: 'admin', policies: ['AdministratorAccess'] },
    { id: 'VISITOR', secretFile, user: 'visitor', policies: [cachedOnly] },
  ]
  const config = { auth: { mode: 'required' }, accessKeys }
  const rule = { tagTtl: '1h', repositories: { deny: ['secret/*'] } }
  ground = starting.use(await Ground.start({ sites: 5, config, rule }))
  clients = starting.use(clientsOf(ground.cistern, { accessKeyId: 'ADMIN', secretAccessKey }))
  visitor = starting.use(clientsOf(ground.cistern, { accessKeyId: 'VISITOR', secretAccessKey }))
  resources = starting.move()
})

afterAll(async () => {
  const logs = ground.cistern.logs.join('\n')
  expect(logs).not.toContain('canary')
  expect(tokens.length).toBeGreaterThan(0)
  for (const token of tokens) expect(logs).not.toContain(token.split('.')[2])
  expect(logs).toContain('"route":"layer"')
  await resources.disposeAsync()
})

/** The path of the URL; its host is that of `publicUrl`. */
async function urlOf(repositoryName: string, layerDigest: string, by = clients): Promise<string> {
  const { downloadUrl = '', layerDigest: told } = await by.ecr.send(
    new GetDownloadUrlForLayerCommand({ repositoryName, layerDigest }),
  )
  expect(told).toBe(layerDigest)
  const { pathname } = new URL(downloadUrl)
  tokens.push(pathname.slice('/layers/'.length))
  return pathname
}

describe('the URL of a layer', () => {
  it('gives its bytes, fetched where they are not cached, whole and in ranges, to whoever has it', async () => {
    const { upstream, prefix } = ground.site()
    const { layers } = upstream.addImage('app', 'v1', image({ seed: 'url', layers: [3_000_000] }))
    const [layer] = layers
    if (!layer) throw new Error('no layer')
    const path = await urlOf(`${prefix}/app`, layer.digest)
    expect(upstream.requests('GET', 'blob')).toEqual([])

    const whole = await ground.get(path)
    expect([whole.status, digestOfBytes(whole.body)]).toEqual([200, layer.digest])
    await ground.keeps(layer.digest)
    const part = await ground.get(path, { headers: { range: 'bytes=1000-1999' } })
    expect([part.status, part.headers['content-range']]).toEqual([206, 'bytes 1000-1999/3000000'])
    expect(part.body.equals(layer.slice(1000, 2000))).toBe(true)
    const head = await ground.get(path, { method: 'HEAD' })
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '3000000', 0])
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
  })

  it('is none for what is not there, or cannot be had', async () => {
    const { upstream, prefix } = ground.site()
    const { layers } = upstream.addImage('app', 'v1', image({ seed: 'none', layers: [10] }))
    const repositoryName = `${prefix}/app`
    await expect(urlOf(repositoryName, none)).rejects.toMatchObject({
      name: 'LayersNotFoundException',
      message: expect.stringContaining(`'${none}' does not exist in the repository with name '${repositoryName}'`),
    })
    await expect(urlOf(repositoryName, 'sha256:ab')).rejects.toMatchObject({ name: 'LayersNotFoundException' })
    await expect(urlOf(repositoryName, 'nonsense')).rejects.toMatchObject({ name: 'InvalidParameterException' })
    for (const name of ['nowhere/app', `${prefix}/secret/app`]) {
      await expect(urlOf(name, none)).rejects.toMatchObject({ name: 'RepositoryNotFoundException' })
    }
    await upstream.goDown()
    await expect(urlOf(repositoryName, layers[0]?.digest ?? '')).rejects.toMatchObject({
      name: 'UnableToGetUpstreamLayerException',
    })
  })

  it('is none for who may not import, before somebody else did', async () => {
    const { upstream, prefix } = ground.site()
    const { layers } = upstream.addImage('app', 'v1', image({ seed: 'import', layers: [10] }))
    const digest = layers[0]?.digest ?? ''
    await expect(urlOf(`${prefix}/app`, digest, visitor)).rejects.toMatchObject({ name: 'LayersNotFoundException' })
    expect(upstream.requests()).toEqual([])
    const path = await urlOf(`${prefix}/app`, digest)
    expect((await ground.get(path)).status).toBe(200)
    await ground.keeps(digest)
    const own = await eventually(() => urlOf(`${prefix}/app`, digest, visitor))
    expect(digestOfBytes((await ground.get(own)).body)).toBe(digest)
  })

  it('is good for nothing else, and for nobody who changes it', async () => {
    for (const path of ['/layers/a.b.c', `/layers/${'a'.repeat(40)}.${'b'.repeat(40)}.${'c'.repeat(43)}`]) {
      const { status, body } = await ground.get(path)
      expect([status, JSON.parse(body.toString()).errors[0].code]).toEqual([403, 'DENIED'])
    }
    expect((await ground.get('/layers/')).status).toBe(404)
    expect((await ground.get('/layers/v2')).status).toBe(404)
  })

  it('F86: ends with the right, and with the key, of whoever asked for it', async () => {
    const { upstream, prefix } = ground.site()
    const { layers } = upstream.addImage('app', 'v1', image({ seed: 'ends', layers: [10] }))
    const repositoryName = `${prefix}/app`
    const digest = layers[0]?.digest ?? ''
    const admins = await urlOf(repositoryName, digest)
    expect((await ground.get(admins)).status).toBe(200)
    await ground.keeps(digest)
    const path = await eventually(() => urlOf(repositoryName, digest, visitor))
    expect((await ground.get(path)).status).toBe(200)
    const policyText = JSON.stringify({
      Statement: {
        Effect: 'Deny',
        Principal: { AWS: 'arn:aws:iam::000000000000:user/visitor' },
        Action: 'ecr:GetDownloadUrlForLayer',
      },
    })
    await clients.ecr.send(new SetRepositoryPolicyCommand({ repositoryName, policyText }))
    expect((await ground.get(path)).status).toBe(403)
    expect((await ground.get(admins)).status).toBe(200)

    const file = join(ground.cistern.directory, 'cistern.yaml')
    const { accessKeys, ...others } = parse(await readFile(file, 'utf8'))
    await writeFile(file, stringify({ ...others, accessKeys: accessKeys.slice(1) }))
    process.kill(ground.cistern.pid ?? 0, 'SIGHUP')
    await eventually(async () => expect((await ground.get(admins)).status).toBe(403))
    await writeFile(file, stringify({ ...others, accessKeys }))
    process.kill(ground.cistern.pid ?? 0, 'SIGHUP')
    await eventually(async () => expect((await ground.get(admins)).status).toBe(200))
  })
})

it('layers are available where a repository holds them', async () => {
  const { upstream, prefix } = ground.site()
  const { layers } = upstream.addImage('app', 'v1', image({ seed: 'available', layers: [77, 88] }))
  upstream.addImage('other', 'v1', image({ seed: 'other', layers: [10] }))
  const [held, other] = layers
  const repositoryName = `${prefix}/app`
  const path = await urlOf(repositoryName, held?.digest ?? '')
  expect((await ground.get(path)).status).toBe(200)
  await ground.keeps(held?.digest ?? '')
  const check = async (name: string) => {
    const layerDigests = [held?.digest ?? '', other?.digest ?? '', none, 'sha256:ab', 'nonsense', '']
    return clients.ecr.send(new BatchCheckLayerAvailabilityCommand({ repositoryName: name, layerDigests }))
  }
  const unavailable = (layerDigest: string | undefined) => ({ layerDigest, layerAvailability: 'UNAVAILABLE' })
  await eventually(async () => {
    const { layers: told, failures } = await check(repositoryName)
    expect(told).toEqual([
      { layerDigest: held?.digest, layerAvailability: 'AVAILABLE', layerSize: 77 },
      unavailable(other?.digest),
      unavailable(none),
      unavailable('sha256:ab'),
    ])
    expect(failures).toMatchObject([
      { layerDigest: 'nonsense', failureCode: 'InvalidLayerDigest' },
      { layerDigest: '', failureCode: 'MissingLayerDigest' },
    ])
  })
  await expect(check(`${prefix}/other`)).rejects.toMatchObject({ name: 'RepositoryNotFoundException' })
})
