import { join } from 'node:path'

export const root = join(import.meta.dirname, '..', '..')

/** What tests build once and keep between runs. */
export const cacheDirectory = join(root, '.cache')
