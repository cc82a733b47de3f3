import { LRUCache } from 'lru-cache'
import type { Metadata } from '../metadata/metadata.ts'
import {
  type RegistrySettings,
  type RepositorySettings,
  registryKey,
  type SettingsStore,
} from '../metadata/settings.ts'
import { matches } from '../rules/rule.ts'
import { Templates } from './templates.ts'

/** Of settings in memory, in characters of their JSON. */
const maxRemembered = 16 * 1024 * 1024

/** What was decided about repositories and the registry. One change happens at a time. */
export class Settings {
  readonly templates: Templates
  readonly #store: SettingsStore
  readonly #repositories: Metadata['repositories']
  readonly #known = new LRUCache<string, RepositorySettings>({
    maxSize: maxRemembered,
    sizeCalculation: (settings, repository) => repository.length + JSON.stringify(settings).length,
  })
  /** Counts changes: what was read before one is not remembered after it. */
  #changes = 0
  #registry: RegistrySettings | undefined
  #lastChange: Promise<unknown> = Promise.resolve()

  constructor(store: SettingsStore, repositories: Metadata['repositories']) {
    this.#store = store
    this.#repositories = repositories
    this.templates = new Templates(store, (work) => this.#inTurn(() => work().finally(() => this.#forget())))
  }

  /** What holds for a repository; for one that is yet to be created, what it will start with when it is pulled. */
  async of(repository: string): Promise<RepositorySettings> {
    const known = this.#known.get(repository)
    if (known) return known
    const changes = this.#changes
    const settings = (await this.#store.repositories.get(repository)) ?? (await this.#inherited(repository))
    if (changes === this.#changes) this.#known.set(repository, settings)
    return settings
  }

  /** The repositories about which something was decided, in their order. */
  decided(): AsyncIterable<[repository: string, settings: RepositorySettings]> {
    return this.#store.repositories.entries()
  }

  /** Whether a tag stays where it points. */
  async isImmutable(repository: string, tag: string): Promise<boolean> {
    const { tagMutability = 'MUTABLE', mutabilityExclusions = [] } = await this.of(repository)
    if (tagMutability === 'MUTABLE' || tagMutability === 'IMMUTABLE') return tagMutability === 'IMMUTABLE'
    const excepted = mutabilityExclusions.some((pattern) => matches(pattern, tag))
    return excepted === (tagMutability === 'MUTABLE_WITH_EXCLUSION')
  }

  /**
   * Resolves to what holds then, once it is on disk; to `undefined` where there is no such repository. `change` may
   * throw; nothing changes then.
   */
  change(
    repository: string,
    change: (before: RepositorySettings) => RepositorySettings,
  ): Promise<RepositorySettings | undefined> {
    return this.#inTurn(async () => {
      if (!(await this.#repositories.get(repository))) return undefined
      const after = change(await this.of(repository))
      await this.#store.repositories.set(repository, after)
      this.#forget(repository)
      return after
    })
  }

  /**
   * Lets a repository come to be, if it is not there yet, with what its template says. Throws what the store throws:
   * the repository is not there then, and starts with the same settings next time.
   */
  async begin(repository: string, createdAt: number): Promise<void> {
    if (await this.#repositories.get(repository)) return
    await this.#inTurn(async () => {
      const settings = await this.templates.forPulled(repository)
      if (settings) await this.#store.repositories.create(repository, settings)
      await this.#repositories.create(repository, { createdAt })
      this.#forget(repository)
    })
  }

  /** Resolves to whether the name was free. Templates are for repositories that pulls create. */
  create(repository: string, settings: RepositorySettings & { createdAt: number }): Promise<boolean> {
    return this.#inTurn(async () => {
      if (await this.#repositories.get(repository)) return false
      await this.#store.repositories.set(repository, settings)
      await this.#repositories.create(repository, { createdAt: settings.createdAt })
      this.#forget(repository)
      return true
    })
  }

  /** The repository is gone, and what was decided about it. */
  delete(repository: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#repositories.delete(repository)
      await this.#store.repositories.delete(repository)
      this.#forget(repository)
    })
  }

  /**
   * Makes metadata know of all repositories that have settings: they may have been begun afresh, or have lost their
   * latest writes by a power cut. A deletion that was cut short can be repeated then. What has no instant of its own
   * began at `since`.
   */
  async restore(since: number): Promise<void> {
    for await (const [repository, { createdAt = since }] of this.#store.repositories.entries()) {
      if (await this.#repositories.get(repository)) continue
      await this.#repositories.create(repository, { createdAt })
    }
  }

  async registry(): Promise<RegistrySettings> {
    this.#registry ??= (await this.#store.registry.get(registryKey)) ?? {}
    return this.#registry
  }

  /** Resolves to what holds then, once it is on disk. `change` may throw; nothing changes then. */
  changeRegistry(change: (before: RegistrySettings) => RegistrySettings): Promise<RegistrySettings> {
    return this.#inTurn(async () => {
      const after = change(await this.registry())
      await this.#store.registry.set(registryKey, after)
      this.#registry = after
      return after
    })
  }

  async #inherited(repository: string): Promise<RepositorySettings> {
    if (await this.#repositories.get(repository)) return {}
    return (await this.templates.forPulled(repository)) ?? {}
  }

  #forget(repository?: string): void {
    this.#changes++
    if (repository === undefined) this.#known.clear()
    else this.#known.delete(repository)
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastChange.then(work, work)
    this.#lastChange = turn
    return turn
  }
}
