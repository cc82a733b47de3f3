import { describe, expect, it } from 'vitest'
import { MemoryMetadata } from '../../src/metadata/memory.ts'
import { Repositories } from '../../src/repositories/repositories.ts'

async function repositoriesOf(...names: string[]) {
  const metadata = new MemoryMetadata()
  for (const name of names) await metadata.repositories.set(name, { createdAt: 0 })
  return new Repositories(metadata)
}

describe('repositories', () => {
  it('are there or not', async () => {
    const repositories = await repositoriesOf('a/b')
    expect(await repositories.has('a/b')).toBe(true)
    expect(await repositories.has('a')).toBe(false)
  })

  it('are listed in order, by pages, below a prefix', async () => {
    const repositories = await repositoriesOf('b/2', 'a/1', 'b/1', 'b/3', 'c/1')
    expect(await repositories.list({ n: 10 })).toEqual({
      repositories: ['a/1', 'b/1', 'b/2', 'b/3', 'c/1'],
      more: false,
    })
    expect(await repositories.list({ n: 2, prefix: 'b/' })).toEqual({ repositories: ['b/1', 'b/2'], more: true })
    expect(await repositories.list({ n: 2, prefix: 'b/', last: 'b/2' })).toEqual({ repositories: ['b/3'], more: false })
    expect(await repositories.list({ n: 0 })).toEqual({ repositories: [], more: true })
  })
})
