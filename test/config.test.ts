import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { keys } from '../src/config/keys.ts'
import { printConfig } from '../src/config/print.ts'
import { ConfigError, loadConfig } from '../src/config.ts'
import { tagTtlMs } from '../src/rules/rule.ts'
import { temporaryFolder } from './support/folder.ts'

const folder = temporaryFolder('config')
let files = 0

function file(text: string): string {
  const path = join(folder, `config-${files++}.yaml`)
  writeFileSync(path, text)
  return path
}

const load = (text: string, args: string[] = [], env: Record<string, string> = {}) =>
  loadConfig(['--config', file(text), ...args], env)

/** The faults of a configuration, with the name of its file left out. */
function faultsOf(text: string, args: string[] = [], env: Record<string, string> = {}): string[] {
  try {
    load(text, args, env)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.faults.map((fault) => fault.replace(/^.*config-\d+\.yaml:?/, ''))
  }
}

const ruleOf = (text: string) => load(`rules:\n  - { prefix: x, ${text} }`).rules.find(({ prefix }) => prefix === 'x')

const account = '{ username: u, password: p }'

describe('defaults', () => {
  it('needs neither file, environment nor flags', () => {
    const config = loadConfig([], {})
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 5000 })
    expect(config.cache).toEqual({ maxSize: 50 * 2 ** 30, minFree: { percent: 5 }, manifestMemory: 32 * 2 ** 20 })
    expect(config.timeouts).toMatchObject({ connectMs: 5000, revalidateMs: 3000, writeStallMs: 60_000 })
    expect(config.defaultUpstream).toBe('docker.io')
    expect(config.rules.map(({ prefix }) => prefix)).toContain('quay.io')
  })

  it('is frozen to the bottom', () => {
    const config = load('rules: [{ prefix: x, upstream: y, credential: { username: u, password: p } }]')
    const values = [config, config.cache, config.rules, config.rules[0], config.rules.at(-1)?.credential]
    expect(values.every(Object.isFrozen)).toBe(true)
  })

  it('are those of the table in the README', () => {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
    const section = /^## Configuration$([\s\S]*?)^### /m.exec(readme)?.[1] ?? ''
    const rows = [...section.matchAll(/^\| `([\w.[\]]+)` \| ([^|]+) \|/gm)].map(([, path, text]) => ({ path, text }))
    const expected = keys.map(({ path, default: value }) => ({
      path,
      text: value === undefined ? expect.not.stringContaining('`[') : `\`${Array.isArray(value) ? '[]' : value}\``,
    }))
    expect(rows).toEqual(expected)
  })
})

describe('precedence', () => {
  it('puts flags over the environment over the file', () => {
    const text = 'cache: { maxSize: 1GiB, minFree: 1GB }\nlog: { level: warn }\noffline: true'
    const env = { CISTERN_CACHE_MAX_SIZE: '2GiB', CISTERN_LOG_LEVEL: 'error', CISTERN_OFFLINE: '' }
    const config = load(text, ['--cache-max-size', '3GiB'], env)
    expect(config.cache).toMatchObject({ maxSize: 3 * 2 ** 30, minFree: { bytes: 1e9 } })
    expect(config.log.level).toBe('error')
    expect(config.offline).toBe(true)
  })

  it('takes the file from the environment, and keeps ids and numbers apart', () => {
    const env = {
      CISTERN_CONFIG: file('offline: true'),
      CISTERN_REGISTRY_ID: '000000000007',
      CISTERN_THROTTLED_STATUS: '503',
    }
    const config = loadConfig(['--no-offline'], env)
    expect(config).toMatchObject({ offline: false, throttledStatus: 503, registry: { id: '000000000007' } })
  })

  it('leaves alone what Kubernetes makes of a service named cistern', () => {
    expect(loadConfig([], { CISTERN_PORT: 'tcp://10.0.0.1:5000', CISTERN_SERVICE_HOST: '10.0.0.1' }).offline).toBe(
      false,
    )
  })

  it('takes lists of texts with commas', () => {
    const env = { CISTERN_AUTH_HTPASSWD_FILE: 'users', CISTERN_AUTH_HTPASSWD_POLICIES: 'AdministratorAccess,a.json' }
    const { auth, trustedProxies } = loadConfig(
      ['--auth-mode', 'required', '--trusted-proxies', '10.0.0.0/8, ::1'],
      env,
    )
    expect(trustedProxies).toEqual([
      { address: '10.0.0.0', bits: 8 },
      { address: '::1', bits: 128 },
    ])
    expect(auth.htpasswd).toEqual({ file: 'users', policies: ['AdministratorAccess', 'a.json'] })
  })

  it('takes proxies from the standard variables', () => {
    const { proxy } = loadConfig([], { HTTPS_PROXY: 'http://p:3128', no_proxy: '.local' })
    expect(proxy).toEqual({ httpsProxy: 'http://p:3128/', noProxy: '.local' })
  })

  it('takes a host and port for a proxy, as others do, and the lower-case variable first', () => {
    const { proxy } = loadConfig([], { http_proxy: 'p:3128', HTTP_PROXY: 'http://q', HTTPS_PROXY: 'https://u:%40@p' })
    expect(proxy).toEqual({ httpProxy: 'http://p:3128/', httpsProxy: 'https://u:%40@p/' })
    expect(loadConfig([], { http_proxy: '', HTTP_PROXY: 'q' }).proxy).toEqual({ httpProxy: 'http://q/' })
  })

  it.each(['socks5://c4nary:1080', 'http://', 'http://u:c4nary%@p', 'http://p/c4nary', 'http://p:c4nary', ':3128'])(
    'refuses the proxy %j of the environment, and does not repeat it',
    (HTTPS_PROXY) => {
      const refused = () => loadConfig(['--log-level', 'loud'], { HTTPS_PROXY, HTTP_PROXY: 'ftp://p' })
      expect(refused).toThrow(ConfigError)
      expect(refused).toThrow(/^HTTP_PROXY: must be http\(s\):.*\nHTTPS_PROXY: must be http\(s\):.*\n--log-level: /)
      expect(refused).not.toThrow('c4nary')
    },
  )
})

describe('rules', () => {
  it('reads what an upstream is', () => {
    expect(ruleOf('upstream: registry.example.com')?.upstream).toBe('https://registry.example.com')
    expect(ruleOf('upstream: "Registry.example.com:5000"')?.upstream).toBe('https://registry.example.com:5000')
    expect(ruleOf('upstream: "http://127.0.0.1:5000"')?.upstream).toBe('http://127.0.0.1:5000')
    expect(ruleOf('upstream: docker.io')?.upstream).toBe('https://registry-1.docker.io')
  })

  it.each(['http://h/path', 'user:pass@h', 'https://h?q=1', 'ftp://h', 'h/path', '""', 'h:99999'])(
    'refuses %s',
    (upstream) => {
      expect(faultsOf(`rules: [{ prefix: x, upstream: ${JSON.stringify(upstream)} }]`)).toHaveLength(1)
    },
  )

  it.each([
    ['registry-1.docker.io', 'docker-hub', ['https://auth.docker.io']],
    ['ghcr.io', 'ghcr', []],
    ['quay.io', 'quay', []],
    ['europe-docker.pkg.dev', 'gcr', []],
    ['registry.gitlab.com', 'gitlab', ['https://gitlab.com']],
    ['nvcr.io', 'nvcr', ['https://authn.nvidia.com']],
    ['public.ecr.aws', 'ecr-public', []],
    ['123456789012.dkr.ecr.eu-west-1.amazonaws.com', 'ecr', []],
    ['registry.example.com', 'generic', []],
    ['quay.io.example.com', 'generic', []],
  ])('knows the dialect and the realms of %s', (upstream, dialect, realmHosts) => {
    expect(ruleOf(`upstream: ${upstream}`)).toMatchObject({ dialect, realmHosts })
  })

  it('speaks to a stand-in for docker.io as to Docker Hub, and tells it no token server', () => {
    const rule = load('rules: [{ prefix: docker.io, upstream: mirror.example.com }]').rules.at(-1)
    expect(rule).toMatchObject({ dialect: 'docker-hub', realmHosts: [] })
  })

  it('keeps the order of tag patterns as written, also of those that look like numbers', () => {
    const rule = ruleOf('upstream: y, tagTtl: { "1*": 5m, 16: 24h, 1.10: 1m, "*": 10m }')
    expect(rule?.tagTtl.map(({ pattern }) => pattern)).toEqual(['1*', '16', '1.10', '*'])
    expect(rule && tagTtlMs(rule, '16')).toBe(300_000)
  })

  it('replaces a built-in rule by one of the same prefix', () => {
    const { rules } = load('rules: [{ prefix: quay.io, upstream: mirror.example.com }]')
    expect(rules.filter(({ prefix }) => prefix === 'quay.io')).toMatchObject([{ source: 'file' }])
    expect(load('builtinRules: false').rules).toEqual([])
  })

  it('reads certificates', () => {
    const ca = join(folder, 'not-a-certificate.pem')
    writeFileSync(ca, 'hello')
    expect(faultsOf(`rules: [{ prefix: x, upstream: y, ca: ${ca} }]`)).toHaveLength(1)
    expect(faultsOf('rules: [{ prefix: x, upstream: y, ca: /does/not/exist }]')).toHaveLength(1)
  })

  it.each(['', 'username: u', 'username: u, password: p, passwordFile: f', 'secretArn: nonsense', 'secretArn: 1'])(
    'refuses the credential { %s }',
    (credential) => {
      expect(faultsOf(`rules: [{ prefix: x, upstream: y, credential: { ${credential} } }]`)).toHaveLength(1)
    },
  )

  it.each(['username: u, passwordFile: f', 'dockerConfig: f', 'ecr: {}', 'ecr: { region: eu-west-1 }'])(
    'takes the credential { %s }',
    (credential) => {
      expect(ruleOf(`upstream: y, credential: { ${credential} }`)?.credential).toBeDefined()
    },
  )
})

describe('the proxy of a rule', () => {
  it('is none, an origin, or one with an account whose password stands in a file', () => {
    expect(ruleOf('upstream: y')).not.toHaveProperty('proxy')
    expect(ruleOf('upstream: y, proxy: none')?.proxy).toBe('none')
    expect(ruleOf('upstream: y, proxy: "http://P:3128"')?.proxy).toEqual({ url: 'http://p:3128' })
    const account = { url: 'https://p', username: 'u', passwordFile: 'f' }
    expect(ruleOf(`upstream: y, proxy: ${JSON.stringify(account)}`)?.proxy).toEqual(account)
    const mirrors = ruleOf('upstream: y, upstreams: [{ upstream: m, proxy: none }, y], proxy: "http://p"')?.mirrors
    expect(mirrors).toMatchObject([{ upstream: 'https://m', proxy: 'none' }, { upstream: 'https://y' }])
    expect(mirrors?.[1]).not.toHaveProperty('proxy')
  })

  it.each([
    'p:3128',
    'direct',
    'socks5://p:1080',
    'http://u:c4nary@p:3128',
    'http://p/c4nary',
    { url: 'http://p', username: 'u' },
    { url: 'http://p', username: 'u', password: 'c4nary' },
    { url: 'p', username: 'u', passwordFile: 'f' },
  ])('is not %j', (proxy) => {
    const faults = faultsOf(`rules: [{ prefix: x, upstream: y, proxy: ${JSON.stringify(proxy)} }]`)
    expect(faults).toEqual([expect.stringContaining('rules[0].proxy')])
    expect(faults.join()).not.toContain('c4nary')
  })
})

describe('faults', () => {
  it('are all named at once, each with its place', () => {
    const text = `cache: { maxSize: 10 GiB }
bogus: 1
rules:
  - prefix: a
    upstream: b
    tagTtl: { "v*": 24h, "*": 5x }
    surplus: 1
  - { prefix: a, upstream: "b/c" }
`
    const faults = faultsOf(text, ['--timeouts-idle', '0'], { CISTERN_LOG_LEVEL: 'loud' })
    const places = faults.map((fault) => fault.slice(0, fault.indexOf(': ')))
    const labels = faults.map((fault) => fault.split(': ').slice(0, 2).join(': '))
    expect(labels).toEqual(
      expect.arrayContaining([
        '1:19: cache.maxSize',
        '2:1: bogus',
        '6:31: rules[0].tagTtl["*"]',
        '7:5: rules[0].surplus',
        '8:28: rules[1].upstream',
        '8:15: rules[1].prefix',
      ]),
    )
    expect(places).toEqual(expect.arrayContaining(['--timeouts-idle', 'CISTERN_LOG_LEVEL']))
    expect(faults).toHaveLength(8)
  })

  it.each([
    'a: [',
    'a: 1\na: 2',
    '*nowhere',
    'x: *s3cret',
    'x: !s3cret y',
    '- a',
    '--- a\n--- b',
    'x: "\\q"',
    '&a [*a]',
  ])('are named where the file is no YAML of ours: %j', (text) => {
    const faults = faultsOf(text)
    expect(faults.length).toBeGreaterThan(0)
    expect(faults.join()).not.toContain('s3cret')
  })

  it('are named where the file cannot be read and where a flag is unknown', () => {
    expect(() => loadConfig(['--config', '/does/not/exist'], {})).toThrow(/cannot be read \(ENOENT\)/)
    expect(() => loadConfig(['--nonsense'], {})).toThrow(ConfigError)
    expect(() => loadConfig(['word'], {})).toThrow(ConfigError)
  })

  it('names of the prototype are unknown keys', () => {
    expect(faultsOf('__proto__: { offline: true }\nconstructor: 1')).toHaveLength(2)
  })

  it('never repeat a value', () => {
    const canary = 'c4nary'
    const text = `
publicUrl: http://u:${canary}@h
registry: { id: ${canary} }
accessKeys: [{ id: x, secretFile: 7, user: [${canary}], policies: [[${canary}]] }]
rules:
  - { prefix: x, upstream: "https://u:${canary}@h", realmHosts: ["u:${canary}@h"], credential: { username: u, password: [${canary}] } }
  - { prefix: y, upstream: h, credential: { secretArn: ${canary} }, dialect: ${canary}, tagTtl: ${canary} }
`
    const faults = faultsOf(text, ['--cache-max-size', canary], { CISTERN_THROTTLED_STATUS: canary })
    expect(faults.length).toBeGreaterThan(8)
    expect(faults.join('\n')).not.toContain(canary)
  })

  it.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0/8',
    '10.0.0.0/',
    'proxy.example',
    '::ffff:10.0.0.0/104',
    'fe80::1%eth0',
    7,
    '',
  ])('are proxies that are no network: %j', (text) => {
    expect(faultsOf(`trustedProxies: [${JSON.stringify(text)}]`)).toEqual([
      '1:18: trustedProxies[0]: must be an address, or a network such as 10.0.0.0/8',
    ])
  })

  it('are users with passwords where nobody logs in', () => {
    expect(faultsOf('auth: { mode: open, htpasswd: { file: users } }')).toEqual([
      '1:31: auth.htpasswd: nobody logs in unless auth.mode is required',
    ])
    expect(faultsOf('auth: { mode: required, htpasswd: { file: users } }')).toEqual([])
  })

  it('refuse timers longer than a timer can wait', () => {
    expect(faultsOf('timeouts: { drain: 30d }')).toHaveLength(1)
  })
})

describe('listening beyond loopback', () => {
  const plain = 'allowPlainHttp: true\n'

  it('needs the mode stated, wherever', () => {
    expect(faultsOf(`${plain}listen: 0.0.0.0:5000`)).toHaveLength(1)
    expect(faultsOf(`${plain}listen: "[::]:5000"`)).toHaveLength(1)
    expect(faultsOf(`${plain}listen: registry.local:5000`)).toHaveLength(1)
    expect(faultsOf(`${plain}listen: 0.0.0.0:5000\nauth: { mode: open }`)).toEqual([])
    expect(faultsOf(`${plain}listen: 0.0.0.0:5000`, [], { CISTERN_AUTH_MODE: 'open' })).toEqual([])
    expect(faultsOf(plain, ['--listen', '0.0.0.0:5000', '--auth-mode', 'open'])).toEqual([])
    expect(faultsOf('listen: "[::1]:5000"')).toEqual([])
  })

  it('takes the mode in which nobody is anonymous', () => {
    expect(faultsOf(`${plain}listen: 0.0.0.0:5000\nauth: { mode: required }`)).toEqual([])
    expect(faultsOf('auth: { mode: other }')).toEqual([expect.stringContaining('auth.mode')])
  })

  it('needs TLS, or a word that it goes without', () => {
    const outside = 'listen: 0.0.0.0:5000\nauth: { mode: open }'
    const fault = expect.stringContaining('beyond loopback needs tls, or allowPlainHttp: true')
    expect(faultsOf(outside)).toEqual([fault])
    expect(faultsOf(`${outside}\nallowPlainHttp: false`)).toEqual([fault])
    expect(faultsOf(outside, [], { CISTERN_ALLOW_PLAIN_HTTP: 'true' })).toEqual([])
    expect(faultsOf(outside, ['--allow-plain-http'])).toEqual([])
    expect(faultsOf(`${outside}\ntls: { certFile: c, keyFile: k }`)).toEqual([])
    expect(faultsOf(outside, ['--tls-cert-file', 'c', '--tls-key-file', 'k'])).toEqual([])
    expect(faultsOf('tls: { certFile: c }')).toEqual([expect.stringContaining('tls.keyFile: is missing')])
  })

  it('has clients come by HTTPS where it has a certificate', () => {
    expect(load('tls: { certFile: c, keyFile: k }').publicUrl).toBe('https://127.0.0.1:5000')
    expect(load('tls: { certFile: c, keyFile: k }\npublicUrl: http://h').publicUrl).toBe('http://h')
  })
})

describe('several ways to an upstream', () => {
  it('take the credential and the token servers that are their own', () => {
    const rule = ruleOf(
      `upstream: docker.io, upstreams: [mirror.gcr.io, { upstream: m, credential: ${account} }, docker.io]`,
    )
    expect(rule?.mirrors).toEqual([
      { upstream: 'https://mirror.gcr.io', dialect: 'gcr', realmHosts: [] },
      { upstream: 'https://m', dialect: 'generic', realmHosts: [], credential: { username: 'u', password: 'p' } },
      { upstream: 'https://registry-1.docker.io', dialect: 'docker-hub', realmHosts: ['https://auth.docker.io'] },
    ])
  })

  it.each([
    [`credential: ${account}, credentials: [${account}]`, 'rules[0].credentials: stands beside credential'],
    ['credentials: []', 'rules[0].credentials: must name a credential'],
    ['upstreams: []', 'rules[0].upstreams: must name an upstream'],
    ['upstreams: ["ftp://h"]', 'rules[0].upstreams[0]: must be host'],
    ['budget: { reserve: -1 }', 'rules[0].budget.reserve: must be a whole number, or 0'],
    ['limits: { requestsPerSecond: 0 }', 'rules[0].limits.requestsPerSecond: must be more than 0'],
    ['limits: { bytesPerSecond: 0 }', 'rules[0].limits.bytesPerSecond: must be more than 0'],
    ['limits: { concurrency: 0 }', 'rules[0].limits.concurrency: must be a whole number of at least 1'],
  ])('%s is a fault', (text, fault) => {
    expect(faultsOf(`rules:\n  - { prefix: x, upstream: y, ${text} }`)).toEqual([expect.stringContaining(fault)])
  })
})

describe('the printed configuration', () => {
  const ca = join(folder, 'ca.pem')
  writeFileSync(ca, rootCertificates[0] ?? '')
  const text = `
listen: 127.0.0.1:7000
allowPlainHttp: true
tls: { certFile: c, keyFile: k, clientCaFile: a }
defaultUpstream: none
trustedProxies: [10.0.0.0/8, "fd00::/8", 192.0.2.1]
auth: { mode: required, htpasswd: { file: users, policies: [AdministratorAccess, { Version: "2012-10-17" }] } }
accessKeys: [{ id: AKIA, secretFile: f, user: u, policies: [AdministratorAccess, { Version: "2012-10-17" }] }]
secrets: { keyFile: /run/secrets/key }
cache: { maxSize: 1500MB, minFree: 7%, maxAge: 90d, manifestMemory: 1 }
scrub: { interval: 30d, bytesPerSecond: 0 }
timeouts: { connect: 1500ms, drain: 0 }
rules:
  - prefix: a
    upstream: "http://h:1"
    tagTtl: { "1*": 5m, "16": 1d }
    negativeTtl: 0
    onUnknownTag: keep
    pin: ["base/*"]
    reserve: 5GiB
    upstreams: ["http://m:1", { upstream: n, credential: { username: u, passwordFile: f }, proxy: none }, "http://h:1"]
    proxy: { url: "http://p:3128", username: u, passwordFile: f }
    fallThroughOnUnknown: true
    credentials: [{ username: u, passwordFile: f }, { dockerConfig: f }]
    staleWhileRevalidate: 1h
    budget: { reserve: 20 }
    limits: { concurrency: 4, requestsPerSecond: 0.5, bytesPerSecond: 10MiB }
    ca: ${ca}
  - { prefix: a/b, upstream: h, redirectHosts: [], repositories: { allow: ["x/*"], deny: [y] }, credential: { ecr: {} } }
`
  /** The paths of a tree as `keys` has them, of all entries of a list together. */
  const pathsOf = (value: unknown, path = ''): string[] => {
    if (keys.some((key) => key.path === path)) return [path]
    if (Array.isArray(value)) return value.flatMap((entry) => pathsOf(entry, `${path}[]`))
    return Object.entries(value ?? {}).flatMap(([name, inner]) =>
      pathsOf(inner, path === '' ? name : `${path}.${name}`),
    )
  }

  it('has every key there is', () => {
    const printed = new Set(pathsOf(parse(printConfig(load(text)))))
    expect([...printed].sort()).toEqual(keys.map(({ path }) => path).sort())
  })

  it('reads back as the same configuration', () => {
    const config = load(text)
    const again = load(printConfig(config))
    expect({ ...again, rules: undefined }).toEqual({ ...config, rules: undefined })
    expect(again.rules.map((rule) => ({ ...rule, source: '' }))).toEqual(
      config.rules.map((rule) => ({ ...rule, source: '' })),
    )
  })

  it('holds no secret', () => {
    const canary = 'c4nary'
    const credential = `{ username: u, password: ${canary} }`
    const rules = [
      `{ prefix: x, upstream: y, credential: ${credential} }`,
      `{ prefix: z, upstream: y, credentials: [${credential}], upstreams: [{ upstream: m, credential: ${credential} }] }`,
    ]
    const printed = printConfig(load(`rules: [${rules}]`, [], { HTTPS_PROXY: `http://u:${canary}@p:1` }))
    expect(printed.match(/password: "\*\*\*"/g)).toHaveLength(3)
    expect(printed).not.toContain(canary)
  })
})
