import { Authority } from '../../src/access/authority.ts'
import { Changes } from '../../src/async/changes.ts'
import { PreparedAnswers } from '../../src/http/prepared.ts'
import { QuickAnswers } from '../../src/http/quick.ts'
import { MemoryMetadata, MemorySettings } from '../../src/metadata/memory.ts'
import { notingChanges } from '../../src/metadata/noting.ts'
import { Settings } from '../../src/repositories/settings.ts'
import { startFace } from './face.ts'

export const repository = 'docker.io/library/nginx'
export const path = '/v2/docker.io/library/nginx'
export const registry = { id: '111122223333', region: 'us-east-1' }
export const manifest = '{"schemaVersion":2,"annotations":{"who":"Zoë ✓"}}'

/** A face that keeps answers, over a registry whose answers are hits. */
export async function startQuickFace(options: { proves?: boolean } & Parameters<typeof startFace>[0] = {}) {
  const { proves = false, ...more } = options
  const changes = new Changes()
  const uses: string[] = []
  const clock = { now: 1_000_000 }
  const metadata = new MemoryMetadata()
  const settings = new Settings(notingChanges(new MemorySettings(), changes.note), metadata.repositories)
  await metadata.repositories.set(repository, { createdAt: 0 })
  const prepared = new PreparedAnswers({
    maxBytes: 1024 * 1024,
    changes,
    used: (digest) => uses.push(digest),
    clock: () => clock.now,
  })
  const quick = new QuickAnswers({ prepared, proves })
  const face = await startFace({ authority: new Authority(registry, settings), quick, ...more })
  face.registry.outcome = { cache: 'hit', ttlMs: 60_000 }
  face.registry.addManifest(repository, 'latest', manifest)
  return { face, uses, changes, clock, settings, [Symbol.asyncDispose]: () => face[Symbol.asyncDispose]() }
}
