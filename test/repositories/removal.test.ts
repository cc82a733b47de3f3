import { expect, it } from 'vitest'
import { MemorySettings } from '../../src/metadata/memory.ts'
import { holdsImages, removeRepository } from '../../src/repositories/removal.ts'
import { Settings } from '../../src/repositories/settings.ts'
import { given } from './given.ts'

const repository = 'hub/app'

async function withImage() {
  const { metadata, images, deletion, image, clock } = given()
  const settings = new Settings(new MemorySettings(), metadata.repositories)
  await settings.begin(repository, clock.now)
  await settings.change(repository, () => ({ policy: 'p' }))
  await image(repository)
  return { metadata, image, settings, removal: { images, deletion, settings, clock: () => clock.now } }
}

it('a repository goes with its images and its settings', async () => {
  const { metadata, settings, removal } = await withImage()
  expect(await holdsImages(repository, removal)).toBe(true)
  await removeRepository(repository, removal)
  expect(await holdsImages(repository, removal)).toBe(false)
  expect(await metadata.repositories.get(repository)).toBeUndefined()
  expect(await settings.of(repository)).toEqual({})
})

it('a repository that is pulled while it is removed begins anew', async () => {
  const { metadata, image, settings, removal } = await withImage()
  const deletion = {
    everything: async (name: string) => {
      await removal.deletion.everything(name)
      await image(name)
    },
  }
  await removeRepository(repository, { ...removal, deletion })
  expect(await holdsImages(repository, removal)).toBe(true)
  expect(await metadata.repositories.get(repository)).toBeDefined()
  expect(await settings.of(repository)).toEqual({})
})
