import { afterEach, expect, it } from 'vitest'
import { RegistryError } from '../../src/oci/errors.ts'
import { type Events, publish } from '../../src/telemetry/events.ts'
import { createLog, type Level, type Log } from '../../src/telemetry/log.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'

const canary = 'c4nary'
let log: Log | undefined
let lines: string[] = []

afterEach(() => log?.[Symbol.dispose]())

function open(level: Level = 'info'): void {
  lines = []
  log = createLog(level, { write: (line) => lines.push(line) })
}

const entries = () => lines.map((line) => JSON.parse(line))

const request: Events['cistern:request'] = {
  requestId: 'r-1',
  method: 'GET',
  route: 'manifest',
  repository: 'docker.io/library/nginx',
  reference: 'latest',
  upstream: 'registry-1.docker.io',
  status: 200,
  bytes: 7,
  durationMs: 1.2345,
  outcome: { cache: 'stale', reason: 'unavailable' },
  aborted: false,
  client: '127.0.0.1',
  userAgent: 'skopeo/1.9.3',
}

it('writes one line for a request, with what an operator looks for', () => {
  open()
  publish('cistern:request', request)
  expect(entries()).toEqual([
    {
      level: 'info',
      time: expect.any(String),
      msg: 'request',
      requestId: 'r-1',
      method: 'GET',
      route: 'manifest',
      repository: 'docker.io/library/nginx',
      reference: 'latest',
      upstream: 'registry-1.docker.io',
      status: 200,
      bytes: 7,
      durationMs: 1.2,
      cache: 'stale',
      reason: 'unavailable',
      aborted: false,
      client: '127.0.0.1',
      userAgent: 'skopeo/1.9.3',
    },
  ])
})

it('warns of answers that failed and of those that broke off', () => {
  open()
  publish('cistern:request', { ...request, status: 502 })
  publish('cistern:request', { ...request, aborted: true, error: new Error('short') })
  publish('cistern:request', { ...request, status: 404 })
  expect(entries().map(({ level }) => level)).toEqual(['warn', 'warn', 'info'])
})

it('writes one line for a fault, with its causes', () => {
  open()
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const error = new RegistryError('unavailable', 'UNAVAILABLE', 'upstream is not there', { cause })
  publish('cistern:fault', { where: 'upstream', kind: 'unavailable', message: 'served stale', requestId: 'r-1', error })
  expect(entries()).toEqual([
    {
      level: 'warn',
      time: expect.any(String),
      msg: 'served stale',
      where: 'upstream',
      kind: 'unavailable',
      requestId: 'r-1',
      error: {
        name: 'RegistryError',
        message: 'upstream is not there',
        code: 'UNAVAILABLE',
        kind: 'unavailable',
        cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
      },
    },
  ])
})

it('tells where an error came from that nobody foresaw', () => {
  open()
  publish('cistern:fault', { where: 'http', kind: 'internal', message: 'm', error: new TypeError('x is undefined') })
  expect(entries()[0].error).toEqual({
    name: 'TypeError',
    message: 'x is undefined',
    stack: expect.stringContaining('log.test'),
  })
})

it('writes no query, user or header of an error, however deep', () => {
  open()
  const cause = Object.assign(
    new Error(`GET https://u:${canary}@cdn.example.com/blob?sig=${canary}#${canary} failed`),
    {
      headers: { authorization: canary },
      request: { path: `/?token=${canary}` },
    },
  )
  const error = new Error(`see https://h/p?token=${canary}, and again`, {
    cause: new AggregateError([cause], 'x', { cause }),
  })
  publish('cistern:request', { ...request, status: 500, error })
  publish('cistern:fault', { where: 'http', kind: 'internal', message: `http://h/?a=${canary}`, error: { canary } })
  publish('cistern:fault', { where: 'http', kind: 'internal', message: 'thrown text', error: canary })
  expect(lines.join('')).not.toContain(canary)
  expect(lines.join('')).toContain('https://cdn.example.com/blob')
})

it('E80: control characters are escaped and long text is cut', () => {
  open()
  const userAgent = `\u001b[31m\n{"level":"fatal"}\u009b\u2028${'x'.repeat(10_000)}`
  publish('cistern:request', { ...request, userAgent, error: new Error(`\u0007${'y'.repeat(100_000)}`) })
  expect(lines).toHaveLength(1)
  const harmful = [...(lines[0]?.trimEnd() ?? '')].filter(
    (char) => char < ' ' || (char > '~' && char < '\u00a0') || char === '\u2028',
  )
  expect(harmful).toEqual([])
  expect(lines[0]?.length).toBeLessThan(8000)
})

it('follows causes that lead in a circle for a few steps only', () => {
  open()
  const error = new Error('a')
  error.cause = error
  publish('cistern:fault', { where: 'process', kind: 'internal', message: 'm', error })
  expect(lines[0]?.match(/"message":"a"/g)?.length).toBeLessThan(10)
})

it('keeps to its level, and to nothing once disposed', () => {
  open('warn')
  publish('cistern:request', request)
  log?.info({ url: 'http://127.0.0.1:1' }, 'listening')
  expect(lines).toEqual([])
  log?.[Symbol.dispose]()
  publish('cistern:request', { ...request, status: 500 })
  expect(lines).toEqual([])
})

it('tells of lifecycle policies where they let images go', () => {
  open()
  publish('cistern:expiry', { repository: 'hub/a', images: 0, durationMs: 1 })
  publish('cistern:expiry', { repository: 'hub/a', images: 2, durationMs: 1.6 })
  expect(entries()).toEqual([
    expect.objectContaining({
      level: 'info',
      msg: 'a lifecycle policy was applied',
      repository: 'hub/a',
      images: 2,
      durationMs: 2,
    }),
  ])
})

it('tells of a certificate that took the place of another', () => {
  open()
  const served = { file: 'tls.crt', beginsAt: 0, expiresAt: Date.UTC(2027, 0, 1) }
  publish('cistern:certificate', { ...served, replaced: false })
  publish('cistern:certificate', { ...served, replaced: true })
  expect(entries()).toEqual([
    expect.objectContaining({
      msg: 'another certificate is served to new connections',
      file: 'tls.crt',
      expiresAt: '2027-01-01T00:00:00.000Z',
    }),
  ])
})

it('has what was gathered written when the process ends', async () => {
  const script = `import { standardOutput } from ${JSON.stringify(`${root}/src/telemetry/log.ts`)}
    const output = standardOutput()
    for (const line of ['one\\n', 'two\\n']) output.write(line)
    process.exit()`
  const { stdout } = await run(process.execPath, ['--input-type=module-typescript', '--eval', script])
  expect(stdout).toBe('one\ntwo\n')
})
