import { z } from 'zod'
import { isKind } from '../../oci/errors.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import type { RuleBook } from '../../rules/rule-book.ts'
import { type Name, nameOf } from '../oci/names.ts'
import { repositoryNotFound } from './errors.ts'
import { readInput, repositoryName } from './input.ts'
import { assertMay, type Call, type Operation } from './operation.ts'

export type OnRepositoryOptions = { registryId: string; book: RuleBook; repositories: Repositories }

export const inRepository = z.object({ repositoryName })

/** What an operation on a repository is made of. */
type Definition<S extends typeof inRepository> = {
  action: string
  input: S
  /** Whether the repository has to be there already. */
  held: boolean
  run: (input: z.output<S>, name: Name, call: Call) => Promise<object> | object
}

/**
 * An operation on the repository that a name leads to, which is the same one as for who pulls by that name. Throws
 * `RepositoryNotFoundException` for a name that leads nowhere.
 */
export function onRepository<S extends typeof inRepository>(
  { registryId, book, repositories }: OnRepositoryOptions,
  { action, input, held, run }: Definition<S>,
): Operation {
  const has = (repository: string) => repositories.has(repository)
  return async (given, call) => {
    const read = readInput(input, given)
    const { repositoryName: written } = read
    const name = await nameOf(written, book, has).catch((error: unknown) => {
      if (isKind(error, 'unknown')) return undefined
      throw error
    })
    call.exchange.facts.repository = name?.repository ?? written
    await assertMay(call, action, call.authority.repositoryArn(name?.repository ?? written))
    if (!name || (held && !(await has(name.repository)))) throw repositoryNotFound(written, registryId)
    return run(read, name, call)
  }
}

/** Throws what `RepositoryNotFoundException` stands for where a rule keeps the repository out. */
export async function orRepositoryMissing<T>(asking: Promise<T>, name: Name, registryId: string): Promise<T> {
  try {
    return await asking
  } catch (error) {
    throw isKind(error, 'unknown') && error.code === 'NAME_UNKNOWN'
      ? repositoryNotFound(name.written, registryId)
      : error
  }
}
