import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { image, startUpstream } from '../support/faulty-upstream.ts'
import { ForwardProxy } from '../support/forward-proxy.ts'
import { fetchDigest } from '../support/http.ts'

const account = { username: 'someone', password: 'canary of a proxy' }

/** A rule to a registry behind a proxy with an account, and one to a registry in reach, in an environment with a proxy. */
async function start() {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-proxies-')))
  const pair = selfSigned({ name: 'far.test' })
  const far = starting.use(await startUpstream({ name: 'far.test', tls: pair }))
  const near = starting.use(await startUpstream())
  const usual = starting.use(await ForwardProxy.start())
  const proxy = starting.use(await ForwardProxy.start({ account }))
  const [ca, passwordFile] = [join(path, 'ca.pem'), join(path, 'password')]
  await writeFile(ca, pair.cert)
  await writeFile(passwordFile, `${account.password}\n`)
  const own = { url: proxy.url, username: account.username, passwordFile }
  const rules = [
    { prefix: 'far', upstream: far.url, ca, proxy: own },
    { prefix: 'near', upstream: near.url, proxy: 'none' },
  ]
  const env = { HTTP_PROXY: usual.url }
  const cistern = starting.use(await startCistern({ rules, env }))
  const parts = starting.move()
  return { far, near, usual, proxy, passwordFile, cistern, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

it('rules pull through their own proxy or none, by a password that may change, and say so when asked', async () => {
  await using started = await start()
  const { far, near, usual, proxy, passwordFile, cistern } = started
  const [first, second, third] = ['v1', 'v2', 'v3'].map((tag) => far.addImage('app', tag, image({ seed: tag })))
  const at = (path: string) => fetchDigest(`${cistern.url}/v2/${path}`)

  expect((await at('far/app/manifests/v1')).digest).toBe(first?.digest)
  expect((await at(`far/app/blobs/${first?.layers[0]?.digest}`)).digest).toBe(first?.layers[0]?.digest)
  near.addImage('app', 'v1', image())
  expect((await at('near/app/manifests/v1')).status).toBe(200)
  expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT ${far.host}`]))
  expect(usual.asked).toEqual([])

  proxy.account = { ...account, password: 'canary that is newer' }
  await far.goDown()
  await far.comeUp() // so that it has to be connected to anew
  expect((await at('far/app/manifests/v2')).status).toBe(502)
  await writeFile(passwordFile, proxy.account.password)
  expect((await at('far/app/manifests/v2')).digest).toBe(second?.digest)

  const explained = await command(cistern, 'explain', 'far/app:v1')
  expect(explained.stdout).toContain(`${far.url}, without a credential, through ${proxy.url}`)
  expect((await command(cistern, 'explain', 'near/app:v1')).stdout).toContain('through no proxy')

  const file = join(cistern.directory, 'cistern.yaml')
  const config = parse(await readFile(file, 'utf8'))
  config.rules[0].proxy = usual.url
  await writeFile(file, stringify(config))
  process.kill(cistern.pid ?? 0, 'SIGHUP')
  await expect.poll(() => cistern.logs.some((line) => line.includes('rules reloaded'))).toBe(true)
  expect((await at('far/app/manifests/v3')).digest).toBe(third?.digest)
  expect(usual.asked).toEqual([`CONNECT ${far.host}`])

  expect(cistern.logs.some((line) => line.includes('(407)'))).toBe(true)
  expect(cistern.logs.filter((line) => line.includes('canary'))).toEqual([])
})
