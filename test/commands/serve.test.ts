import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'

const main = join(root, 'src', 'main.ts')
const nowhere = { prefix: 'a', upstream: 'http://127.0.0.1:9' }
const configFile = (cistern: CisternProcess) => join(cistern.directory, 'cistern.yaml')

async function rewrite(cistern: CisternProcess, change: (config: Record<string, unknown>) => void): Promise<void> {
  const config = parse(await readFile(configFile(cistern), 'utf8'))
  change(config)
  await writeFile(configFile(cistern), stringify(config))
}

const signal = (cistern: CisternProcess, name: NodeJS.Signals) => process.kill(cistern.pid ?? 0, name)

const hasLogged = (cistern: CisternProcess, text: string) =>
  eventually(async () => expect(cistern.logs.some((line) => line.includes(text))).toBe(true))

describe('cistern serve', () => {
  it('H112: starts with all upstreams down, is ready, and healthy to its own command', async () => {
    await using cistern = await startCistern({ rules: [nowhere] })
    expect((await fetchBytes(`${cistern.adminUrl}/readyz`)).status).toBe(200)
    expect((await fetchBytes(`${cistern.url}/v2/`)).status).toBe(200)
    const flags = ['--admin-listen', new URL(cistern.adminUrl).host]
    await run(process.execPath, [main, 'healthcheck', ...flags])
    await cistern.stop()
    await expect(run(process.execPath, [main, 'healthcheck', ...flags])).rejects.toThrow(/no answer .*ECONNREFUSED/)
  })

  it('G101: a second process on the same data is refused, and the first one goes on', async () => {
    await using cistern = await startCistern({ rules: [nowhere] })
    const second = run(process.execPath, [main, 'serve', '--config', configFile(cistern)])
    await expect(second).rejects.toThrow(/ended with 1:\ncistern: .* is in use by another Cistern/)
    expect((await fetchBytes(`${cistern.adminUrl}/readyz`)).status).toBe(200)
  })

  it('H108: SIGTERM finishes what runs, takes nothing new, and ends with status 0', async () => {
    await using upstream = await startUpstream()
    const blob = upstream.addBlob('app', randomBlob(4 * 1024 * 1024, 1))
    const resume = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: 1024 * 1024, resume: resume.promise })
    await using cistern = await startCistern({ rules: [{ prefix: 'a', upstream: upstream.url }] })
    const answer = fetchDigest(`${cistern.url}/v2/a/app/blobs/${blob.digest}`)
    await eventually(async () => expect(upstream.requests('GET', 'blob')[0]?.sent).toBeGreaterThan(0))
    const stopping = cistern.stop()
    await eventually(() => expect(fetchBytes(`${cistern.url}/v2/`)).rejects.toThrow(/ECONNREFUSED/))
    expect((await fetchBytes(`${cistern.adminUrl}/readyz`)).status).toBe(503)
    resume.resolve()
    expect((await answer).digest).toBe(blob.digest)
    expect(await stopping).toBe(0)
  })

  it('H108: what does not finish in time is broken off, and the status is 0 still', async () => {
    await using upstream = await startUpstream()
    const blob = upstream.addBlob('app', randomBlob(4 * 1024 * 1024, 1))
    upstream.fault('blob', { stallAfter: 1024 * 1024 })
    const config = { timeouts: { drain: '50ms' } }
    await using cistern = await startCistern({ rules: [{ prefix: 'a', upstream: upstream.url }], config })
    const answer = fetchDigest(`${cistern.url}/v2/a/app/blobs/${blob.digest}`)
    const broken = expect(answer).rejects.toThrow()
    await eventually(async () => expect(upstream.requests('GET', 'blob')[0]?.sent).toBeGreaterThan(0))
    expect(await cistern.stop()).toBe(0)
    await broken
  })

  it('ends at once with status 1 on a second signal', async () => {
    await using upstream = await startUpstream()
    const blob = upstream.addBlob('app', randomBlob(4 * 1024 * 1024, 1))
    upstream.fault('blob', { stallAfter: 1024 * 1024 })
    await using cistern = await startCistern({ rules: [{ prefix: 'a', upstream: upstream.url }] })
    const broken = expect(fetchDigest(`${cistern.url}/v2/a/app/blobs/${blob.digest}`)).rejects.toThrow()
    await eventually(async () => expect(upstream.requests('GET', 'blob')[0]?.sent).toBeGreaterThan(0))
    const stopping = cistern.stop()
    await hasLogged(cistern, '"stopping"')
    signal(cistern, 'SIGINT')
    expect(await stopping).toBe(1)
    await broken
  })

  it('SIGHUP puts other rules in force, and transfers under the old ones go on', async () => {
    await using upstream = await startUpstream()
    const blob = upstream.addBlob('app', randomBlob(4 * 1024 * 1024, 1))
    const resume = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: 1024 * 1024, resume: resume.promise, times: 1 })
    await using cistern = await startCistern({ rules: [{ prefix: 'a', upstream: upstream.url }] })
    const answer = fetchDigest(`${cistern.url}/v2/a/app/blobs/${blob.digest}`)
    await eventually(async () => expect(upstream.requests('GET', 'blob')[0]?.sent).toBeGreaterThan(0))
    await rewrite(cistern, (config) => {
      config.rules = [...(config.rules as unknown[]), { prefix: 'b', upstream: upstream.url }]
    })
    signal(cistern, 'SIGHUP')
    await hasLogged(cistern, 'rules reloaded')
    expect((await fetchDigest(`${cistern.url}/v2/b/app/tags/list`)).status).toBe(200)
    resume.resolve()
    expect((await answer).digest).toBe(blob.digest)
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
  })

  it('H113: a bad file keeps the old rules, and its secrets stay out of the log', async () => {
    await using upstream = await startUpstream()
    const blob = upstream.addBlob('app', randomBlob(1000, 1))
    await using cistern = await startCistern({ rules: [{ prefix: 'a', upstream: upstream.url }] })
    await rewrite(cistern, (config) => {
      config.rules = [
        { prefix: 'b', upstream: 'https://u:c4nary@h', credential: { username: 'u', password: ['c4nary'] } },
      ]
    })
    signal(cistern, 'SIGHUP')
    await hasLogged(cistern, 'rules not reloaded')
    expect((await fetchDigest(`${cistern.url}/v2/a/app/blobs/${blob.digest}`)).digest).toBe(blob.digest)
    expect(cistern.logs.join('\n')).toContain('rules[0].upstream')
    expect(cistern.logs.join('\n')).not.toContain('c4nary')
  })

  it('H110: a rejection that nobody handled leaves the process serving; an exception ends it with status 1', async () => {
    const module = (code: string) => `--import=data:text/javascript,${encodeURIComponent(code)}`
    const reject = module(`process.on('SIGUSR2', () => Promise.reject(new Error('nobody')))`)
    await using first = await startCistern({ rules: [nowhere], env: { NODE_OPTIONS: reject } })
    signal(first, 'SIGUSR2')
    await hasLogged(first, 'a rejection was not handled')
    expect((await fetchBytes(`${first.url}/v2/`)).status).toBe(200)

    const raise = module(`process.on('SIGUSR2', () => { throw new Error('nobody') })`)
    await using second = await startCistern({ rules: [nowhere], env: { NODE_OPTIONS: raise } })
    signal(second, 'SIGUSR2')
    await hasLogged(second, 'an exception was not caught')
    await eventually(() => expect(fetchBytes(`${second.url}/v2/`)).rejects.toThrow())
    expect(await second.stop()).toBe(1)
  })

  it.each([0, 3])('goes on, and ends, where the reader of its log is gone before %i requests', async (requests) => {
    await using data = await mkdtempDisposable(join(tmpdir(), 'cistern-serve-'))
    const anywhere = ['--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--data-dir', data.path]
    const child = spawn(process.execPath, [main, 'serve', ...anywhere], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'exit')
    const [lines] = await once(child.stdout, 'data')
    child.stdout.destroy()
    const { url } = JSON.parse(lines.toString().split('\n', 1)[0])
    for (let n = 0; n < requests; n++) expect((await fetchBytes(`${url}/v2/`)).status).toBe(200)
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  })

  it('says why it cannot start, and ends with status 1', async () => {
    await using cistern = await startCistern({ rules: [nowhere] })
    const taken = new URL(cistern.url).host
    const flags = ['--listen', taken, '--admin-listen', '127.0.0.1:0', '--data-dir', join(cistern.directory, 'other')]
    await expect(run(process.execPath, [main, 'serve', ...flags])).rejects.toThrow(/ended with 1:\n.*EADDRINUSE/)
  })
})
