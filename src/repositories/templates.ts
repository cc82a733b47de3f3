import type { RepositorySettings, RepositoryTemplate, SettingsStore } from '../metadata/settings.ts'

/** Creation templates by prefix: https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates.html */
export class Templates {
  readonly #store: Pick<SettingsStore, 'templates'>
  readonly #changed: () => void

  /** `changed` is called after each change. */
  constructor(store: Pick<SettingsStore, 'templates'>, changed: () => void) {
    this.#store = store
    this.#changed = changed
  }

  get(prefix: string): Promise<RepositoryTemplate | undefined> {
    return this.#store.templates.get(prefix)
  }

  /** In the order of their prefixes. */
  async list(): Promise<[prefix: string, template: RepositoryTemplate][]> {
    return Array.fromAsync(this.#store.templates.entries())
  }

  /** Resolves to whether the prefix was free. Throws what the store throws. */
  async create(prefix: string, template: RepositoryTemplate): Promise<boolean> {
    const created = await this.#store.templates.create(prefix, template)
    this.#changed()
    return created
  }

  /** Throws what the store throws. */
  async replace(prefix: string, template: RepositoryTemplate): Promise<void> {
    await this.#store.templates.set(prefix, template)
    this.#changed()
  }

  /** Resolves to whether there was one. Throws what the store throws. */
  async delete(prefix: string): Promise<boolean> {
    const deleted = await this.#store.templates.delete(prefix)
    this.#changed()
    return deleted
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
