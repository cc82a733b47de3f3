import type { Images } from './images.ts'
import type { Settings } from './settings.ts'

export type Removal = {
  images: Pick<Images, 'list'>
  deletion: { everything: (repository: string) => Promise<unknown> }
  settings: Pick<Settings, 'begin' | 'delete'>
  /** Milliseconds since the epoch. */
  clock: () => number
}

export async function holdsImages(repository: string, { images }: Pick<Removal, 'images'>): Promise<boolean> {
  for await (const _ of images.list(repository)) return true
  return false
}

/**
 * Removes a repository: all that it holds first, so that one that is cut short can be removed again, then what was
 * decided about it. One that is pulled meanwhile begins anew.
 */
export async function removeRepository(repository: string, removal: Removal): Promise<void> {
  const { deletion, settings, clock } = removal
  await deletion.everything(repository)
  await settings.delete(repository)
  if (await holdsImages(repository, removal)) await settings.begin(repository, clock())
}
