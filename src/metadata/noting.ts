import type { Collection, Metadata } from './metadata.ts'
import type { SettingsStore } from './settings.ts'

/** Metadata whose owner is told of each fact about content that is taken away. */
export const notingLosses = (metadata: Metadata, note: () => void): Metadata => ({
  get since() {
    return metadata.since
  },
  repositories: metadata.repositories,
  links: notingDeletion(metadata.links, note),
  tags: notingDeletion(metadata.tags, note),
  referrers: metadata.referrers,
  pulls: metadata.pulls,
  tagsOf: (repository, digest) => metadata.tagsOf(repository, digest),
  [Symbol.asyncDispose]: () => metadata[Symbol.asyncDispose](),
})

/** Settings whose owner is told of each change. */
export const notingChanges = (store: SettingsStore, note: () => void): SettingsStore => ({
  repositories: notingWrites(store.repositories, note),
  templates: notingWrites(store.templates, note),
  registry: notingWrites(store.registry, note),
  [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
})

function notingDeletion<T>(collection: Collection<T>, note: () => void): Collection<T> {
  return {
    get: (key) => collection.get(key),
    set: (key, value) => collection.set(key, value),
    create: (key, value) => collection.create(key, value),
    delete: (key) => collection.delete(key).finally(note),
    entries: (range) => collection.entries(range),
  }
}

function notingWrites<T>(collection: Collection<T>, note: () => void): Collection<T> {
  return {
    ...notingDeletion(collection, note),
    set: (key, value) => collection.set(key, value).finally(note),
    create: (key, value) => collection.create(key, value).finally(note),
  }
}
