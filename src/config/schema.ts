import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createSecureContext } from 'node:tls'
import { z } from 'zod'
import { isRepository } from '../oci/reference.ts'
import { parseOrigin } from '../rules/origin.ts'
import { parseAddress, parseNetwork } from './address.ts'
import { parseDuration, parseSize } from './units.ts'

/** A value written as text or number and read by `parse`, which gives `undefined` where it cannot. */
const written = <T>(parse: (text: string) => T | undefined, error: string) =>
  z.union([z.string(), z.number()], { error }).transform((value, context) => {
    const parsed = parse(String(value))
    if (parsed !== undefined) return parsed
    context.addIssue({ code: 'custom', message: error })
    return z.NEVER
  })

const text = (grammar: RegExp, error: string) => z.string({ error }).regex(grammar, { error })
const boolean = z.boolean({ error: 'must be true or false' })
const choice = <const T extends string | number>(...options: T[]) =>
  z.literal(options, { error: `must be ${options.join(' or ')}` })

const duration = written(parseDuration, 'must be a duration such as 500ms, 30s, 5m, 24h or 7d, or 0')
const size = written(parseSize, 'must be a size such as 512MiB, 50GiB or 10GB, or plain bytes')
const address = written(parseAddress, 'must be host:port')
const network = written(parseNetwork, 'must be an address, or a network such as 10.0.0.0/8')
const origin = written(
  parseOrigin,
  'must be host[:port], which means https, or http(s)://host[:port]; no user, path or query',
)
const count = z.int({ error: 'must be a whole number of at least 1' }).min(1, 'must be a whole number of at least 1')
const wholeNumber = { error: 'must be a whole number, or 0' }
const positive = { error: 'must be more than 0' }
const file = text(/^[^\0]+$/, 'must be the path of a file')
const certificates = file.transform((file, context) => {
  try {
    const pem = readFileSync(file, 'utf8')
    createSecureContext({ ca: pem })
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return { file, pem }
  } catch {}
  context.addIssue({ code: 'custom', message: 'must be a readable file of certificates in PEM' })
  return z.NEVER
})
const name = text(/^.+$/, 'must be text, in quotes where it looks like a number')

/** Node fires a timer at once when it is asked to wait longer than 2³¹ ms; a day is enough for any of these. */
const maxTimeoutMs = 86_400_000
const pause = duration.refine((ms) => ms <= maxTimeoutMs, 'must be at most 24h')
const timeout = pause.refine((ms) => ms > 0, 'must be more than 0')

const maxWorkers = 64
const workers = written((value) => {
  if (value === 'auto') return Math.min(maxWorkers, availableParallelism())
  const count = /^\d{1,2}$/.test(value) ? Number(value) : 0
  return count >= 1 && count <= maxWorkers ? count : undefined
}, `must be auto, or a whole number from 1 to ${maxWorkers}`)

const share = written((value) => {
  const percent = Number(/^(\d{1,2}(?:\.\d+)?)%$/.exec(value)?.[1])
  const bytes = parseSize(value)
  if (!Number.isNaN(percent)) return { percent }
  return bytes === undefined ? undefined : { bytes }
}, 'must be a share of the volume such as 5%, or a size')

const segments = written(
  (value) => (value === 'ROOT' || isRepository(value) ? value : undefined),
  'must be ROOT, or lower-case segments of letters, digits and . _ - parted by /',
)
const pattern = name.describe('`*` stands for any run of characters')

/** The source keeps the order of these keys by giving a Map. */
const tagTtl = z.preprocess(
  (value) => (value instanceof Map ? value : new Map([['*', value]])),
  z.map(pattern, duration).transform((map) => Array.from(map, ([pattern, ttlMs]) => ({ pattern, ttlMs }))),
)

const credential = z.union(
  [
    z.strictObject({ username: name, password: name }),
    z.strictObject({ username: name, passwordFile: file }),
    z.strictObject({
      secretArn: text(
        /^arn:[\w-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@!-]+$/,
        'must be the ARN of a secret',
      ),
    }),
    z.strictObject({ dockerConfig: file }),
    z.strictObject({ ecr: z.strictObject({ region: name.exactOptional(), registryId: name.exactOptional() }) }),
  ],
  {
    error:
      'must be one of { username, password }, { username, passwordFile }, { secretArn }, { dockerConfig }, { ecr }',
  },
)

/** A proxy is seldom where its name without a scheme would lead. */
const proxyUrl = written(
  (value) => (/^https?:\/\//.test(value) ? parseOrigin(value) : undefined),
  'must be http(s)://host[:port]; no user, path or query',
)
const proxy = z.union(
  [z.literal('none'), proxyUrl, z.strictObject({ url: proxyUrl, username: name, passwordFile: file })],
  { error: 'must be none, http(s)://host[:port] without a user, or { url, username, passwordFile }' },
)

const mirror = z.strictObject({
  upstream: origin,
  credential: credential.exactOptional(),
  proxy: proxy.exactOptional(),
})
const upstreams = z
  .array(
    z.union([origin, mirror], {
      error: 'must be host[:port], http(s)://host[:port] or { upstream, credential, proxy }',
    }),
  )
  .min(1, 'must name an upstream')

const rule = z.strictObject({
  prefix: segments,
  upstream: origin,
  upstreams: upstreams.exactOptional(),
  fallThroughOnUnknown: boolean.prefault(false),
  upstreamRepositoryPrefix: segments.prefault('ROOT'),
  credential: credential.exactOptional(),
  credentials: z.array(credential).min(1, 'must name a credential').exactOptional(),
  realmHosts: z.array(origin).exactOptional(),
  redirectHosts: z.array(origin).exactOptional(),
  dialect: choice(
    'generic',
    'docker-hub',
    'ecr',
    'ecr-public',
    'gcr',
    'ghcr',
    'gitlab',
    'nvcr',
    'quay',
  ).exactOptional(),
  tagTtl: tagTtl.prefault('10m'),
  staleWhileRevalidate: duration.prefault('0'),
  negativeTtl: duration.prefault('30s'),
  onUnknownTag: choice('unknown', 'keep').prefault('unknown'),
  repositories: z
    .strictObject({ allow: z.array(pattern).prefault([]), deny: z.array(pattern).prefault([]) })
    .prefault({}),
  budget: z.strictObject({ reserve: z.int(wholeNumber).min(0, wholeNumber).prefault(0) }).prefault({}),
  limits: z
    .strictObject({
      concurrency: count.exactOptional(),
      requestsPerSecond: z.number(positive).gt(0, positive).exactOptional(),
      bytesPerSecond: size.refine((bytes) => bytes > 0, positive).exactOptional(),
    })
    .exactOptional(),
  pin: z.array(pattern).exactOptional(),
  reserve: size.exactOptional(),
  ca: certificates.exactOptional(),
  proxy: proxy.exactOptional(),
})

const policy = z.union([name, z.record(z.string(), z.json())], { error: 'must be a name, a file or a policy document' })

/** A list; in the environment and in flags its entries are parted by commas. */
const list = <T extends z.ZodType>(entry: T) =>
  z.preprocess((value) => (typeof value === 'string' ? value.split(',') : value), z.array(entry))

const htpasswd = z.strictObject({ file, policies: list(policy).prefault('AmazonEC2ContainerRegistryPullOnly') })

const accessKey = z.strictObject({
  id: text(/^\w{3,128}$/, 'must be 3 to 128 letters, digits or _'),
  secretFile: file,
  user: name,
  policies: z.array(policy).prefault([]),
})

/** The configuration as it is written, each key with its default. */
export const schema = z.strictObject({
  listen: address.prefault('127.0.0.1:5000'),
  adminListen: address.prefault('127.0.0.1:5001'),
  allowPlainHttp: boolean.prefault(false),
  tls: z.strictObject({ certFile: file, keyFile: file, clientCaFile: file.exactOptional() }).exactOptional(),
  publicUrl: origin.exactOptional(),
  trustedProxies: list(network).prefault([]),
  dataDir: file.prefault('./data'),
  workers: workers.prefault(1),
  defaultUpstream: segments.prefault('docker.io'),
  builtinRules: boolean.prefault(true),
  offline: boolean.prefault(false),
  allowPrivateUpstreams: boolean.prefault(false),
  throttledStatus: choice(429, 503).prefault(429),
  registry: z
    .strictObject({
      id: text(/^\d{12}$/, 'must be twelve digits in quotes').prefault('000000000000'),
      region: text(/^[a-z0-9-]+$/, 'must be a region such as us-east-1').prefault('us-east-1'),
      strictRegion: boolean.prefault(false),
    })
    .prefault({}),
  auth: z
    .strictObject({ mode: choice('open', 'required').prefault('open'), htpasswd: htpasswd.exactOptional() })
    .prefault({}),
  accessKeys: z.array(accessKey).prefault([]),
  secrets: z.strictObject({ keyFile: file.exactOptional() }).prefault({}),
  cache: z
    .strictObject({
      maxSize: size.prefault('50GiB'),
      minFree: share.prefault('5%'),
      maxAge: duration.exactOptional(),
      manifestMemory: size.prefault('32MiB'),
    })
    .prefault({}),
  scrub: z.strictObject({ interval: duration.prefault('7d'), bytesPerSecond: size.prefault('20MiB') }).prefault({}),
  timeouts: z
    .strictObject({
      connect: timeout.prefault('5s'),
      headers: timeout.prefault('15s'),
      idle: timeout.prefault('30s'),
      revalidate: timeout.prefault('3s'),
      requestHead: timeout.prefault('15s'),
      writeStall: timeout.prefault('60s'),
      drain: pause.prefault('30s'),
      retryPause: pause.prefault('10s'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      unknownPerMinute: count.prefault(600),
      connections: count.prefault(10_000),
      connectionsPerClient: count.prefault(2000),
    })
    .prefault({}),
  log: z.strictObject({ level: choice('debug', 'info', 'warn', 'error', 'silent').prefault('info') }).prefault({}),
  rules: z.array(rule).prefault([]),
})

export type Settings = z.output<typeof schema>
export type RuleSettings = Settings['rules'][number]
