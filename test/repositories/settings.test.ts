import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MemoryMetadata, MemorySettings } from '../../src/metadata/memory.ts'
import type { RepositorySettings, TagMutability, TemplateUse } from '../../src/metadata/settings.ts'
import { SqliteSettings } from '../../src/metadata/sqlite-settings.ts'
import { Settings } from '../../src/repositories/settings.ts'
import { temporaryFolder } from '../support/folder.ts'

async function withRepository(repository: string) {
  const parts = given()
  await parts.settings.begin(repository, 1)
  return parts
}

function given(store = new MemorySettings(), metadata = new MemoryMetadata()) {
  return { store, metadata, settings: new Settings(store, metadata.repositories) }
}

const template = (settings: RepositorySettings, appliedFor: TemplateUse[] = ['PULL_THROUGH_CACHE']) => ({
  settings,
  appliedFor,
  createdAt: 0,
  updatedAt: 0,
})

describe('the settings of a repository', () => {
  it('hold from the moment that they are changed', async () => {
    const { settings } = await withRepository('hub/a')
    expect(await settings.of('hub/a')).toEqual({})
    await settings.change('hub/a', (before) => ({ ...before, policy: 'p' }))
    await settings.change('hub/a', (before) => ({ ...before, scanOnPush: true }))
    expect(await settings.of('hub/a')).toEqual({ policy: 'p', scanOnPush: true })
    expect(await settings.of('hub/b')).toEqual({})
  })

  it('stay as they are where a change throws', async () => {
    const { settings } = await withRepository('hub/a')
    const refused = settings.change('hub/a', () => {
      throw new Error('no')
    })
    await expect(refused).rejects.toThrow('no')
    expect(await settings.of('hub/a')).toEqual({})
    await settings.change('hub/a', () => ({ policy: 'p' }))
    expect(await settings.of('hub/a')).toEqual({ policy: 'p' })
  })

  it('are of repositories that are there', async () => {
    const { settings, store } = given()
    expect(await settings.change('hub/a', () => ({ policy: 'p' }))).toBeUndefined()
    expect(await store.repositories.get('hub/a')).toBeUndefined()
  })

  it('go with the repository', async () => {
    const { settings } = given()
    expect(await settings.create('hub/a', { policy: 'p', createdAt: 1 })).toBe(true)
    expect(await settings.create('hub/a', { createdAt: 2 })).toBe(false)
    await settings.delete('hub/a')
    expect(await settings.of('hub/a')).toEqual({})
  })

  it('outlive the metadata, and make them know of the repositories again', async () => {
    const path = join(temporaryFolder('settings'), 'settings.db')
    {
      await using store = SqliteSettings.open(path)
      const settings = new Settings(store, new MemoryMetadata().repositories)
      await settings.create('hub/a', { policy: 'p', createdAt: 1 })
    }
    await using store = SqliteSettings.open(path)
    const metadata = new MemoryMetadata(7)
    const settings = new Settings(store, metadata.repositories)
    await settings.restore(metadata.since)
    expect(await metadata.repositories.get('hub/a')).toEqual({ createdAt: 1 })
    expect(await settings.of('hub/a')).toMatchObject({ policy: 'p' })
  })

  it('make metadata know of a repository whose record a power cut took, and leave others as they are', async () => {
    const { settings, metadata } = await withRepository('hub/a')
    await settings.change('hub/a', () => ({ policy: 'p' }))
    await settings.create('hub/b', { policy: 'q', createdAt: 2 })
    await settings.restore(7)
    await metadata.repositories.delete('hub/b')
    await settings.restore(7)
    expect(await metadata.repositories.get('hub/a')).toEqual({ createdAt: 1 })
    expect(await metadata.repositories.get('hub/b')).toEqual({ createdAt: 2 })
    expect(await settings.change('hub/b', (before) => before)).toMatchObject({ policy: 'q' })
  })
})

describe('a template', () => {
  it('is what a repository starts with that a pull creates, and says beforehand what will hold', async () => {
    const { settings } = given()
    await settings.templates.create('hub', template({ policy: 'first' }))
    expect(await settings.of('hub/a')).toEqual({ policy: 'first' })
    await settings.begin('hub/a', 1)
    await settings.templates.change('hub', (before) => ({ ...before, settings: { policy: 'second' } }))
    expect(await settings.of('hub/a')).toEqual({ policy: 'first' })
    expect(await settings.of('hub/b')).toEqual({ policy: 'second' })
  })

  it('counts until it is deleted', async () => {
    const { settings } = given()
    expect(await settings.templates.change('hub', (before) => before)).toBeUndefined()
    await settings.templates.create('hub', template({ policy: 'p' }))
    expect(await settings.templates.create('hub', template({}))).toBe(false)
    expect(await settings.templates.delete('hub')).toEqual(template({ policy: 'p' }))
    expect(await settings.templates.delete('hub')).toBeUndefined()
    expect(await settings.of('hub/a')).toEqual({})
  })

  it('changes no repository that was there before', async () => {
    const { settings } = given()
    await settings.begin('hub/a', 1)
    await settings.templates.create('ROOT', template({ policy: 'p' }))
    expect(await settings.of('hub/a')).toEqual({})
    await settings.begin('hub/a', 2)
    expect(await settings.of('hub/a')).toEqual({})
  })

  it.each([
    ['hub/team/app', 'hub/team'],
    ['hub/team', 'hub/team'],
    ['hub/teams/app', 'hub'],
    ['quay/app', 'ROOT'],
    ['pushed/app', 'ROOT'],
  ])('of the longest prefix counts: %s has that of %s', async (repository, prefix) => {
    const { settings } = given()
    for (const each of ['ROOT', 'hub', 'hub/team']) await settings.templates.create(each, template({ policy: each }))
    await settings.templates.create('pushed', template({ policy: 'pushed' }, ['CREATE_ON_PUSH']))
    expect(await settings.of(repository)).toEqual({ policy: prefix })
  })

  it('lets no repository begin without it where the disk takes no settings', async () => {
    const { settings, store, metadata } = given()
    await settings.templates.create('hub', template({ policy: 'deny' }))
    store.repositories.create = () => Promise.reject(new Error('disk full'))
    await expect(settings.begin('hub/a', 1)).rejects.toThrow('disk full')
    expect(await metadata.repositories.get('hub/a')).toBeUndefined()
    expect(await settings.of('hub/a')).toEqual({ policy: 'deny' })
  })
})

it.each<[TagMutability, string, boolean]>([
  ['MUTABLE', 'latest', false],
  ['IMMUTABLE', 'latest', true],
  ['IMMUTABLE_WITH_EXCLUSION', 'v1', true],
  ['IMMUTABLE_WITH_EXCLUSION', 'latest-1', false],
  ['MUTABLE_WITH_EXCLUSION', 'v1', false],
  ['MUTABLE_WITH_EXCLUSION', 'latest-1', true],
])('where tags are %s with latest* excepted, %s is immutable: %s', async (tagMutability, tag, immutable) => {
  const { settings } = await withRepository('hub/a')
  await settings.change('hub/a', () => ({ tagMutability, mutabilityExclusions: ['latest*'] }))
  expect(await settings.isImmutable('hub/a', tag)).toBe(immutable)
})
