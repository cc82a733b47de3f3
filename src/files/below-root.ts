import { lstat, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { unlessMissing } from './private-file.ts'

/** All directories above an absolute path but the root, outermost first. */
export function ancestorsOf(path: string): string[] {
  const directory = dirname(path)
  return directory === '/' ? [] : [...ancestorsOf(directory), directory]
}

/** Throws where `path`, below `root`, leads out of it by a link, or through what is no directory. */
export async function assertWithin(root: string, path: string): Promise<void> {
  const top = await unlessMissing(realpath(root))
  if (top === undefined) throw new Error(`there is no directory ${root}`)
  for (const directory of ['/', ...ancestorsOf(path)].toReversed()) {
    const place = await unlessMissing(realpath(join(root, directory)))
    if (place === undefined) {
      if (await unlessMissing(lstat(join(root, directory)))) throw new Error(`${directory} leads nowhere`)
      continue
    }
    if (!(await stat(place)).isDirectory()) throw new Error(`${directory} is no directory`)
    if (place !== top && !place.startsWith(top === '/' ? '/' : `${top}/`)) {
      throw new Error(`${directory} leads out of ${root}`)
    }
    return
  }
}
