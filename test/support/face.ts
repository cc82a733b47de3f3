import { Authority } from '../../src/access/authority.ts'
import { ClientLimits } from '../../src/access/client-limits.ts'
import { type AppOptions, createApp } from '../../src/http/app.ts'
import { Authentication } from '../../src/http/auth.ts'
import { listen } from '../../src/http/listen.ts'
import type { ListenOptions } from '../../src/http/server.ts'
import { MemoryMetadata, MemorySettings } from '../../src/metadata/memory.ts'
import { PullTimes } from '../../src/repositories/pull-times.ts'
import { Repositories } from '../../src/repositories/repositories.ts'
import { Settings } from '../../src/repositories/settings.ts'
import type { Rule } from '../../src/rules/rule.ts'
import { RuleBook } from '../../src/rules/rule-book.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { MemoryRegistry } from './memory-registry.ts'

export const rule = (prefix: string, host: string, more: Partial<Rule> = {}): Rule => ({
  prefix,
  source: 'file',
  upstream: `https://${host}`,
  upstreamRepositoryPrefix: 'ROOT',
  realmHosts: [],
  dialect: prefix === 'docker.io' ? 'docker-hub' : 'generic',
  tagTtl: [{ pattern: '*', ttlMs: 60_000 }],
  negativeTtlMs: 30_000,
  onUnknownTag: 'unknown',
  repositories: { allow: [], deny: [] },
  ...more,
})

export const hub = rule('docker.io', 'registry-1.docker.io')
export const quay = rule('quay.io', 'quay.io', { repositories: { allow: [], deny: ['secret/*'] } })

const openToAll = new Authentication({
  mode: 'open',
  registryId: '111122223333',
  publicUrl: 'http://127.0.0.1:5000',
  keys: new Map(),
  tokens: { verify: async () => ({ state: 'invalid' }) },
})

type FaceOptions = Partial<AppOptions & Omit<ListenOptions, 'host' | 'port'>> & { cached?: string[] }

/** The data port on a free port of loopback over a registry in memory, with all it announced. */
export async function startFace({ cached = [], ...options }: FaceOptions = {}) {
  const metadata = new MemoryMetadata()
  for (const repository of cached) await metadata.repositories.set(repository, { createdAt: 0 })
  const settings = new Settings(new MemorySettings(), metadata.repositories)
  const registry = new MemoryRegistry()
  const requests: Events['cistern:request'][] = []
  const faults: Events['cistern:fault'][] = []
  const unsubscribe = [
    subscribe('cistern:request', (event) => requests.push(event)),
    subscribe('cistern:fault', (event) => faults.push(event)),
  ]
  const app = createApp({
    book: new RuleBook([hub, quay], 'docker.io'),
    repositories: new Repositories(metadata),
    registryOf: () => registry,
    cachedOf: () => registry,
    authentication: openToAll,
    authority: new Authority({ id: '111122223333', region: 'us-east-1' }, settings),
    limits: new ClientLimits({ unknownPerMinute: 600 }),
    pullTimes: new PullTimes(metadata, Date.now),
    throttledStatus: 429,
    ...options,
  })
  const listener = await listen(app, { host: '127.0.0.1', port: 0, ...options })
  return {
    registry,
    requests,
    faults,
    listener,
    port: listener.port,
    url: listener.url,
    get: (path: string, headers: Record<string, string> = {}, method = 'GET') =>
      fetch(`${listener.url}${path}`, { method, headers, redirect: 'manual' }),
    async [Symbol.asyncDispose]() {
      await listener.close(0)
      for (const end of unsubscribe) end()
    },
  }
}

export type Face = Awaited<ReturnType<typeof startFace>>
