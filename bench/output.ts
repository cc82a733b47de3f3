import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory, root } from '../test/support/paths.ts'
import { markdown } from './report/markdown.ts'
import { picture } from './report/picture.ts'
import type { Run } from './report/run.ts'

/** Only a whole run in full is what the project says of itself. Resolves to the directory. */
export async function writeReport(run: Run, { whole }: { whole: boolean }): Promise<string> {
  const directory = whole ? join(root, 'bench') : join(cacheDirectory, 'bench')
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'REPORT.md'), markdown(run))
  await writeFile(join(directory, 'report.svg'), picture(run.rows))
  await writeFile(join(directory, 'results.json'), `${JSON.stringify(run, null, 2)}\n`)
  return directory
}
