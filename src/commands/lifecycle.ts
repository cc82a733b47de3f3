import { pins } from '../cache/pins.ts'
import { Expiring } from '../repositories/expiring.ts'
import { Expiry } from '../repositories/expiry.ts'
import { Previews } from '../repositories/previews.ts'
import { expireInBackground } from './background-expiry.ts'
import type { Core } from './core.ts'

/** What lifecycle policies do, and would do. Its owner disposes it, which ends what runs. */
export type Lifecycle = AsyncDisposable & { expiry: Expiry; previews: Previews }

/** Applies policies in the background from here on. What is pinned against eviction expires no more than that. */
export function openLifecycle(core: Core): Lifecycle {
  const { metadata, book, settings, images, pullTimes, deletion, clock } = core
  const isPinned = (repository: string, tags: readonly string[]) => {
    const rule = book.ruleOf(repository)
    return rule !== undefined && pins(rule, repository, tags)
  }
  const expiring = new Expiring({ metadata, images, pullTimes, isPinned, clock })
  const parts = new AsyncDisposableStack()
  const previews = parts.use(new Previews(expiring, clock))
  const expiry = parts.use(new Expiry({ settings, expiring, deletion, clock }))
  parts.use(expireInBackground(expiry))
  return { expiry, previews, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}
