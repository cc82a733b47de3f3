import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { root } from '../support/paths.ts'

/** Writes a recipe of `deploy/clients` to `file`, with the address of a Cistern under test in place of the usual one. */
export async function writeRecipe(recipe: string, host: string, file: string): Promise<string> {
  const text = await readFile(join(root, 'deploy', 'clients', recipe), 'utf8')
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text.replaceAll('127.0.0.1:5000', host))
  return file
}
