import type { RepositorySettings, RepositoryTemplate, SettingsStore } from '../metadata/settings.ts'

/** Creation templates by prefix: https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates.html */
export class Templates {
  readonly #store: Pick<SettingsStore, 'templates'>
  readonly #inTurn: <T>(work: () => Promise<T>) => Promise<T>

  /** Each change runs through `inTurn`, which runs one at a time. */
  constructor(store: Pick<SettingsStore, 'templates'>, inTurn: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#store = store
    this.#inTurn = inTurn
  }

  get(prefix: string): Promise<RepositoryTemplate | undefined> {
    return this.#store.templates.get(prefix)
  }

  /** In the order of their prefixes. */
  async list(): Promise<[prefix: string, template: RepositoryTemplate][]> {
    return Array.fromAsync(this.#store.templates.entries())
  }

  /** Resolves to whether the prefix was free. Throws what the store throws. */
  create(prefix: string, template: RepositoryTemplate): Promise<boolean> {
    return this.#inTurn(() => this.#store.templates.create(prefix, template))
  }

  /**
   * Resolves to the template as it is then; to `undefined` where there is none of that prefix. `change` may throw;
   * nothing changes then. Repositories that are there stay as they are.
   */
  change(
    prefix: string,
    change: (before: RepositoryTemplate) => RepositoryTemplate,
  ): Promise<RepositoryTemplate | undefined> {
    return this.#inTurn(async () => {
      const before = await this.get(prefix)
      if (!before) return undefined
      const after = change(before)
      await this.#store.templates.set(prefix, after)
      return after
    })
  }

  /** Resolves to what was deleted, where there was one. Throws what the store throws. */
  delete(prefix: string): Promise<RepositoryTemplate | undefined> {
    return this.#inTurn(async () => {
      const before = await this.get(prefix)
      if (before) await this.#store.templates.delete(prefix)
      return before
    })
  }

  /** What a repository starts with that a pull creates: what the longest prefix says, and last of all `ROOT`. */
  async forPulled(repository: string): Promise<RepositorySettings | undefined> {
    for (const prefix of prefixesOf(repository)) {
      const template = await this.get(prefix)
      if (template?.appliedFor.includes('PULL_THROUGH_CACHE')) return template.settings
    }
    return undefined
  }
}

/** A prefix takes whole segments; a repository of the same name lies under it as well. */
function* prefixesOf(repository: string): Generator<string> {
  yield repository
  for (let end = repository.lastIndexOf('/'); end > 0; end = repository.lastIndexOf('/', end - 1)) {
    yield repository.slice(0, end)
  }
  yield 'ROOT'
}
