import type { Metadata, RepositoryRecord } from '../metadata/metadata.ts'

/** `prefix` and `last` are names as they are stored; `last` is where the page before ended. */
export type RepositoryPage = { n: number; last?: string; prefix?: string }

/** The repositories that there are: those that a pull began, or somebody created. */
export class Repositories {
  readonly #metadata: Pick<Metadata, 'repositories'>

  constructor(metadata: Pick<Metadata, 'repositories'>) {
    this.#metadata = metadata
  }

  /** `undefined` where there is no such repository. */
  get(repository: string): Promise<RepositoryRecord | undefined> {
    return this.#metadata.repositories.get(repository)
  }

  async has(repository: string): Promise<boolean> {
    return (await this.get(repository)) !== undefined
  }

  /** At most `n` names in their order, and whether there are more. */
  async list({ n, last, prefix = '' }: RepositoryPage): Promise<{ repositories: string[]; more: boolean }> {
    const range = { prefix, limit: n + 1, ...(last !== undefined && { after: last }) }
    const repositories: string[] = []
    for await (const [repository] of this.#metadata.repositories.entries(range)) repositories.push(repository)
    return { repositories: repositories.slice(0, n), more: repositories.length > n }
  }
}
