import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Appliance } from '../../faults/appliance.ts'
import { type ModelledOperation, operationOf } from '../../support/aws-model.ts'
import { image } from '../../support/faulty-upstream.ts'
import { SignedRequests } from '../../support/signed-request.ts'
import { type Case, escapeName, hostileBodies, junkBodies, sampleBody, someOf } from './hostile.ts'
import { isAnswered, modelled, samplerOf } from './samples.ts'

/** More per operation of each kind of body, and another seed each time or a given one: `CISTERN_FUZZ=1000`. */
const perOperation = Number(process.env.CISTERN_FUZZ ?? 25)
const seed = Number(process.env.CISTERN_FUZZ_SEED ?? (process.env.CISTERN_FUZZ ? Date.now() % 1_000_000 : 1))

const answered = modelled.filter(isAnswered)
const those = (pattern: RegExp) => answered.filter(({ name }) => pattern.test(name))
const makers = those(/^(Create|Put|Set|Start)/)
const deleters = those(/^(Batch)?Delete/)
const others = answered.filter((operation) => ![...makers, ...deleters].includes(operation))

/** Changes nothing. */
const reads = ({ name }: ModelledOperation) => /^(Describe|List|Get|Validate|BatchGet|BatchCheck)/.test(name)

/** What is told of the state without being asked for something in it; a token is another one each time. */
const overviews = answered.filter(
  (operation) =>
    reads(operation) &&
    operation.name !== 'GetAuthorizationToken' &&
    [...operation.members.values()].every(({ required }) => !required),
)

const upstreamImage = image({ layers: [1000] })
const { digest: imageDigest, layers } = upstreamImage
const layer = layers[0]?.digest ?? ''
const sampleOf = ({ name }: ModelledOperation) =>
  samplerOf(name, {
    imageDigest,
    layerDigest: layer,
    layerDigests: layer,
    upstreamRegistryUrl: () => appliance.upstream.url,
  })

/** Beside those that the documentation of an operation lists. */
const common = [
  ...['InvalidParameterException', 'SerializationException', 'AccessDeniedException', 'UnsupportedOperationException'],
  'RequestEntityTooLargeException',
]

let appliance: Appliance
let requests: SignedRequests

beforeAll(async () => {
  const config = { allowPrivateUpstreams: true, limits: { unknownPerMinute: 1_000_000 } }
  appliance = await Appliance.start({ config })
  appliance.upstream.addImage('app', 'latest', upstreamImage)
  expect((await appliance.manifest('latest')).status).toBe(200)
  expect((await appliance.blob(layer)).status).toBe(200)
  requests = await connect()
})

async function connect(): Promise<SignedRequests> {
  const { keys } = JSON.parse(await readFile(join(appliance.dataDir, 'access-keys.json'), 'utf8'))
  const [{ id: accessKeyId, secret: secretAccessKey }] = keys
  return new SignedRequests(new URL(appliance.url('')).origin, { accessKeyId, secretAccessKey })
}

afterAll(async () => {
  requests[Symbol.dispose]()
  await appliance[Symbol.asyncDispose]()
})

const call = ({ service, target }: ModelledOperation, body: string | Uint8Array) =>
  requests.send({ service, body, headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target } })

/** All that can be told of what is kept. */
async function state(): Promise<unknown> {
  const told = await Promise.all(overviews.map((operation) => call(operation, '{}')))
  return overviews.map(({ name }, index) => [name, told[index]?.status, told[index]?.text])
}

/** What is wrong with an answer; `undefined` where nothing is. */
function faultOf(
  operation: ModelledOperation,
  { body, refused }: Case,
  { status, text, headers }: Awaited<ReturnType<typeof call>>,
) {
  if (status === 200) {
    if (refused) return 'took it'
    return text.length > 65_536 ? `answered with ${text.length} characters` : undefined
  }
  const { __type, message } = JSON.parse(text)
  if (status !== 400 && status !== 413) return `answered ${status} ${__type}`
  if (status === 413 && body.length < 1024 * 1024) return 'found it too large'
  if (!operation.errors.has(__type) && !common.includes(__type)) return `calls it ${__type}`
  if (headers['x-amzn-errortype'] !== __type) return 'names two errors'
  if (typeof message !== 'string' || message.length > 600) return `says ${String(message).slice(0, 700)}`
  if (/canary|polluted|\.ts:\d|node:internal|node_modules/.test(text)) return `tells too much: ${message}`
  return undefined
}

async function faultsOf(operation: ModelledOperation, cases: readonly Case[]) {
  let taken = 0
  const told = await Promise.all(
    cases.map(async (each) => {
      const answer = await call(operation, each.body)
      if (answer.status === 200) taken++
      const fault = faultOf(operation, each, answer)
      return fault === undefined ? [] : [`${fault}, given ${each.body.slice(0, 300)}`]
    }),
  )
  return { taken, faults: told.flat() }
}

describe(`an operation, given anything (seed ${seed})`, () => {
  async function holds(operation: ModelledOperation): Promise<void> {
    const { text } = await call(operation, sampleBody(operation, sampleOf(operation)))
    expect(String(JSON.parse(text).__type)).not.toMatch(/Serialization|InvalidParameter|Validation/)
    const before = await state()
    const junk = junkBodies(operation, seed, perOperation)
    const cases = [...someOf(hostileBodies(operation, sampleOf(operation)), seed, perOperation * 3), ...junk]

    const { faults, taken } = await faultsOf(operation, cases)

    expect(faults).toEqual([])
    if (taken === 0 || reads(operation)) expect(await state()).toEqual(before)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    expect((await appliance.manifest('latest')).status).toBe(200)
  }
  const patienceMs = 600_000

  it.each([...makers, ...others])('$name stays within what it may say', holds, patienceMs)

  it('makes nothing that a restart changes', async () => {
    const before = await state()
    expect(JSON.stringify(before)).toContain('fuzz')
    await appliance.restart()
    requests[Symbol.dispose]()
    requests = await connect()
    expect(await state()).toEqual(before)
  })

  it.each(deleters)('$name stays within what it may say', holds, patienceMs)

  it('is refused whatever it is, where it is not one of those that are answered', async () => {
    for (const operation of modelled.filter((operation) => !isAnswered(operation))) {
      const cases = [
        ...someOf(hostileBodies(operation, sampleOf(operation)), seed, 5),
        ...junkBodies(operation, seed, 5),
      ]
      const { faults, taken } = await faultsOf(
        operation,
        cases.map(({ body }) => ({ body, refused: true })),
      )
      expect([faults, taken]).toEqual([[], 0])
    }
  })
})

it('a body that is no UTF-8 is refused, and not mended', async () => {
  const secret = operationOf('secretsmanager', 'CreateSecret')
  const body = JSON.stringify({ Name: 'ecr-pullthroughcache/bytes', SecretString: 'a\u00ff' })
  const { status, text } = await call(secret, Buffer.from(body, 'latin1'))
  expect([status, JSON.parse(text).__type]).toEqual([400, 'SerializationException'])
})

it('GetCallerIdentity answers any form with what it may say', async () => {
  const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
  const junk = modelled.flatMap((operation) => junkBodies(operation, seed, 1)).map(({ body }) => body)
  for (const body of [
    ...junk,
    '',
    '&&&',
    'Action',
    'Action=%',
    'Action[]=x',
    'Action=<a>&Version=%00',
    'x'.repeat(100_000),
  ]) {
    const { status, text } = await requests.send({ service: 'sts', body, headers })
    expect([status, text.length < 600, /<Code>(\w+)<\/Code>/.exec(text)?.[1]]).toEqual([400, true, 'InvalidAction'])
  }
})

it('leaves nothing outside the data directory', async () => {
  expect((await readdir(appliance.directory)).sort()).toEqual(['cistern.yaml', 'data'])
  const files = await readdir(appliance.dataDir, { recursive: true })
  expect(files.filter((file) => file.includes(escapeName))).toEqual([])
  expect(existsSync(join('/tmp', escapeName))).toBe(false)
  const internal = appliance.faults.filter(({ kind }) => kind === 'internal')
  expect([...new Set(internal.map(({ message, error }) => `${message}: ${error}`))]).toEqual([])
})
