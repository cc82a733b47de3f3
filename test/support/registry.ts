import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { CountingProxy } from './counting-proxy.ts'
import { run, Service } from './process.ts'
import { basic, TokenServer } from './token-server.ts'
import { requireTool } from './tools.ts'

export type Authentication = 'open' | 'htpasswd' | 'token'

/** Debian's docker-registry, behind a proxy that counts. Needs `registryTools`. */
export type TestRegistry = AsyncDisposable & {
  proxy: CountingProxy
  /** Who may push and pull; absent where everybody may. */
  account?: { username: string; password: string }
  /** Present with token authentication. */
  tokens?: TokenServer
  /** The header with which tests push to and read from a repository directly; absent where none is needed. */
  authorization(repository: string): string | undefined
}

const puller = { username: 'puller', password: 'correct-horse-canary' }

export const registryTools = ['docker-registry', 'htpasswd', 'openssl'] as const

export async function startRegistry(authentication: Authentication = 'open'): Promise<TestRegistry> {
  await using starting = new AsyncDisposableStack()
  const directory = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-registry-'))).path
  const tokens = authentication === 'token' ? starting.use(await TokenServer.start(directory, puller)) : undefined
  const config = {
    version: '0.1',
    log: { accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
    http: { addr: '127.0.0.1:0' },
    ...(authentication === 'htpasswd' && { auth: { htpasswd: await htpasswd(directory) } }),
    ...(tokens && { auth: { token: trust(tokens) } }),
  }
  const file = join(directory, 'config.yaml')
  await writeFile(file, stringify(config))
  const env = { ...process.env, OTEL_TRACES_EXPORTER: 'none' }
  const service = starting.use(new Service(requireTool('docker-registry'), ['serve', file], { env }))
  const address = await service.line((line) => /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1])
  const proxy = starting.use(await CountingProxy.start(`http://${address}`))
  const started = starting.move()
  return {
    proxy,
    ...(authentication !== 'open' && { account: puller }),
    ...(tokens && { tokens }),
    authorization: (repository) => {
      if (tokens) return `Bearer ${tokens.issue(`repository:${repository}:pull,push`)}`
      return authentication === 'htpasswd' ? basic(puller) : undefined
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

async function htpasswd(directory: string): Promise<{ realm: string; path: string }> {
  const path = join(directory, 'htpasswd')
  await run(requireTool('htpasswd'), ['-ciB', path, puller.username], { input: puller.password })
  return { realm: 'tests', path }
}

const trust = (tokens: TokenServer) => ({
  realm: tokens.realm,
  service: TokenServer.service,
  issuer: TokenServer.issuer,
  rootcertbundle: tokens.certificateFile,
})
