import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FaultyUpstream, image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { ForwardProxy } from '../support/forward-proxy.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { type Got, take } from './client.ts'
import { Ground, ruleTo } from './ground.ts'
import { Scratch } from './scratch.ts'
import { SecretsService } from './secrets-service.ts'

const MiB = 1024 * 1024
const repository = 'team/app'
const user = 'operator'
const canary = (slot: string) => `canary-${slot}-7f3a`
const base64 = (text: string) => Buffer.from(text).toString('base64')
const rules = ['inline', 'file', 'docker', 'aws', 'accounts', 'mirror']
const slots = [...rules, 'client', 'proxy', 'gate', 'rotated']

const resources = new AsyncDisposableStack()
const upstreams: Record<string, FaultyUpstream> = {}
const answers: Got[] = []
let ground: Ground
let cdn: FaultyUpstream
let env: NodeJS.ProcessEnv
let scratch: Scratch
let printed = ''

beforeAll(async () => {
  scratch = resources.use(await Scratch.start())
  const aws = resources.use(await SecretsService.start({ username: user, accessToken: canary('aws') }))
  cdn = resources.use(await startUpstream())
  for (const name of [...rules, 'signing', 'proxied', 'gated']) upstreams[name] = resources.use(await startUpstream())
  const url = (name: string) => upstreams[name]?.url ?? ''
  const ports = { 'upstream.test': new URL(url('proxied')).port, 'gated.test': new URL(url('gated')).port }
  const [proxy, gate] = await Promise.all(
    ['proxy', 'gate'].map(async (slot) => {
      const account = { username: user, password: canary(slot) }
      return resources.use(await ForwardProxy.start({ account, ports }))
    }),
  )
  const gateFile = await scratch.write('gate', `${canary('gate')}\n`)
  const passwordFile = await scratch.write('password', `${canary('file')}\n`)
  const auths = { [upstreams.docker?.host ?? '']: { auth: base64(`${user}:${canary('docker')}`) } }
  const dockerConfig = await scratch.write('config.json', JSON.stringify({ auths }))
  env = {
    ...aws.env,
    HTTP_PROXY: `http://${user}:${canary('proxy')}@127.0.0.1:${proxy?.port}`,
    NO_PROXY: '127.0.0.1',
  }
  ground = resources.use(
    await Ground.start({
      env,
      config: { log: { level: 'debug' } },
      rules: [
        ruleTo('inline.test', url('inline'), {
          credential: { username: user, password: canary('inline') },
        }),
        ruleTo('signing.test', url('signing'), { redirectHosts: [cdn.url] }),
        ruleTo('file.test', url('file'), { credential: { username: user, passwordFile } }),
        ruleTo('docker.test', url('docker'), { credential: { dockerConfig } }),
        ruleTo('aws.test', url('aws'), { credential: { secretArn: aws.arn } }),
        ruleTo('accounts.test', url('accounts'), {
          credentials: [{ username: user, password: canary('accounts') }],
        }),
        ruleTo('mirror.test', url('mirror'), {
          upstreams: [{ upstream: url('mirror'), credential: { username: user, password: canary('mirror') } }],
        }),
        ruleTo('proxied.test', 'http://upstream.test'),
        ruleTo('gated.test', 'http://gated.test', {
          proxy: { url: gate?.url, username: user, passwordFile: gateFile },
        }),
      ],
    }),
  )
  expect(aws.requests).toBe(0)
})

afterAll(() => resources.disposeAsync())

/** Every secret that took part, as it is and as it is sent. */
function secrets(): string[] {
  const given = slots.flatMap((slot) => [canary(slot), base64(`${user}:${canary(slot)}`)])
  const issued = Object.values(upstreams).flatMap(({ tokens }) => tokens)
  const signatures = cdn.requests('GET', 'signed').map(({ reference }) => reference)
  return [...given, ...issued, ...signatures]
}

function expectSilence() {
  const said = JSON.stringify([
    ground.cistern.logs,
    printed,
    answers.map(({ headers, body }) => [headers, body.length < MiB ? body.toString() : '']),
  ])
  for (const secret of secrets()) expect(said.includes(secret), `${secret} was told`).toBe(false)
}

async function pull(prefix: string, ...rest: string[]): Promise<number[]> {
  const headers = { authorization: `Basic ${base64(`${user}:${canary('client')}`)}`, cookie: canary('client') }
  const got = await Promise.all(rest.map((path) => ground.at(prefix).get(`${repository}/${path}`, { headers })))
  answers.push(...got)
  return got.map(({ status }) => status)
}

describe('secrets', () => {
  it.each(rules)('of the slot %s open the upstream, and are told to nobody', async (slot) => {
    const upstream = upstreams[slot]
    if (!upstream) throw new Error('no such slot')
    const { digest, config, layers } = upstream.addImage(repository, 'v1', image({ seed: slot }))
    const blobs = [config, ...layers].map((blob) => `blobs/${blob.digest}`)
    upstream.requireToken({ users: { [user]: canary(slot) } })
    expect(await pull(`${slot}.test`, 'manifests/v1', `manifests/${digest}`, ...blobs)).toEqual([
      200, 200, 200, 200, 200,
    ])
    expect(upstream.tokens.length).toBeGreaterThan(0)
    expectSilence()

    // What an upstream says when it fails may hold all that it was sent.
    const echo = JSON.stringify(upstream.requests().map(({ headers }) => headers))
    const challenge = `Bearer realm="http://${user}:${canary(slot)}@127.0.0.1:1/?secret=${canary(slot)}",service="${canary(slot)}"`
    const faults = [
      { status: 500, body: echo },
      { status: 403, body: echo },
      { status: 401, body: echo, headers: { 'www-authenticate': challenge } },
      { body: echo, headers: { 'content-type': `text/${canary(slot)}`, 'docker-content-digest': canary(slot) } },
      { redirect: `http://${user}:${canary(slot)}@127.0.0.1:1/?X-Amz-Signature=${canary(slot)}` },
      { redirect: `http://169.254.169.254/?X-Amz-Signature=${canary(slot)}` },
      { raw: `HTTP/1.1 200 OK\r\nX-${canary(slot)}\r\nContent-Length: ${canary(slot)}\r\n\r\n${canary(slot)}` },
      { reset: true, times: 3 },
    ]
    for (const [number, fault] of faults.entries()) {
      upstream.fault('*', fault)
      const missing = randomBlob(10, `${slot} ${number}`).digest
      const statuses = await pull(`${slot}.test`, 'manifests/v2', `blobs/${missing}`, 'tags/list')
      for (const status of statuses) expect([200, 403, 404, 502, 504]).toContain(status)
      upstream.heal()
    }
    upstream.requireToken({ users: { [user]: canary('rotated') } })
    upstream.revokeTokens()
    expect(await pull(`${slot}.test`, 'manifests/v3')).toEqual([expect.any(Number)])
    await upstream.goDown()
    await pull(`${slot}.test`, 'manifests/v4', `blobs/${randomBlob(11, slot).digest}`)
    expectSilence()
  })

  it('in signed URLs whose transfers break are told to nobody', async () => {
    const { signing } = upstreams
    signing?.signBlobUrls(cdn)
    const [good, bad] = [2 * MiB, 3 * MiB].map((size) => signing?.addBlob(repository, randomBlob(size, 'signed')))
    expect(await pull('signing.test', `blobs/${good?.digest}`)).toEqual([200])
    cdn.fault('signed', { endAfter: 2 * MiB, times: 1 })
    cdn.fault('signed', { status: 404, body: '<Error>signature</Error>', after: 1 })
    const response = await ground.at('signing.test').openBlob(repository, bad?.digest ?? '')
    await take(response, MiB)
    await expect(response.toArray()).rejects.toThrow('aborted')
    expect(cdn.requests('GET', 'signed')).toHaveLength(3)
    expectSilence()
  })

  it.each(['proxied', 'gated'])('of the proxy of the slot %s are shown to the proxy alone', async (slot) => {
    const upstream = upstreams[slot]
    const { config } = upstream?.addImage(repository, 'v1', image({ seed: slot })) ?? {}
    expect(await pull(`${slot}.test`, 'manifests/v1', `blobs/${config?.digest}`)).toEqual([200, 200])
    expect(upstream?.requests().length).toBeGreaterThan(0)
    expect(JSON.stringify(upstream?.requests())).not.toContain('canary')
    await upstream?.goDown()
    expect(await pull(`${slot}.test`, 'manifests/v2')).toEqual([502])
    expectSilence()
  })

  it('that a proxy does not take are told to nobody', async () => {
    await writeFile(join(scratch.directory, 'gate'), canary('rotated'))
    expect(await pull('gated.test', 'manifests/v3')).toEqual([502])
    const said = () => ground.cistern.logs.some((line) => line.includes('the proxy does not lead to gated.test (407)'))
    await expect.poll(said).toBe(true)
    expectSilence()
  })

  it('are left out where the configuration is printed, and where it is found faulty', async () => {
    const command = [join(root, 'src', 'main.ts'), 'check-config', '--config']
    const file = join(ground.cistern.directory, 'cistern.yaml')
    const shown = await run(process.execPath, [...command, file], { env: { PATH: process.env.PATH, ...env } })
    printed += shown.stdout + shown.stderr
    expect(printed).toContain('***')
    const faulty = join(ground.cistern.directory, 'faulty.yaml')
    const rule = `{ prefix: a, upstream: "http://${user}:${canary('inline')}@x", credential: { username: u, pasword: ${canary('inline')} } }`
    await writeFile(faulty, `rules: [${rule}]\n`)
    const refused = await run(process.execPath, [...command, faulty]).catch((error: Error) => error.message)
    expect(refused).toContain('ended with 2')
    printed += String(refused)
    expectSilence()
  })

  it('are in no metric', async () => {
    printed += await ground.metrics()
    expect(printed).toContain('cistern_faults_total')
    expectSilence()
  })
})
