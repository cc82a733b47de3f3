import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { isKind } from '../../oci/errors.ts'
import { BrokenArchive } from '../bundle-reader.ts'
import { invalid } from '../request.ts'
import { imagesInChart } from './chart.ts'
import { filesInArchive, filesInDirectory } from './chart-files.ts'
import { areManifests, imagesInManifests } from './kubernetes.ts'
import { type Found, referencesIn } from './references.ts'

/** The longest list that is read, in bytes. */
const maxText = 64 * 1024 * 1024

/** Whether somebody means a file: no image is written like that. */
export const isPath = (argument: string): boolean =>
  argument === '-' || /^[./~]/.test(argument) || /\.(?:txt|list|ya?ml|json|tgz|tar\.gz)$/.test(argument)

/**
 * The images that arguments name: references, files of references or of Kubernetes manifests, Helm charts. `-` is the
 * standard input. Throws `invalid`, and what the file system throws.
 */
export async function imagesNamed(args: readonly string[], stdin: Readable): Promise<Found> {
  const all: Found = { references: [], faults: [] }
  for (const argument of args) {
    const { references, faults } = await imagesOf(argument, stdin)
    all.references.push(...references)
    all.faults.push(...faults)
  }
  return { references: [...new Set(all.references)], faults: all.faults }
}

async function imagesOf(argument: string, stdin: Readable): Promise<Found> {
  if (!isPath(argument)) return { references: [argument], faults: [] }
  try {
    return await imagesAt(argument, stdin)
  } catch (error) {
    if (!isKind(error, 'invalid') && !(error instanceof BrokenArchive)) throw error
    throw invalid(`${argument}: ${error.message}`)
  }
}

async function imagesAt(argument: string, stdin: Readable): Promise<Found> {
  if (argument === '-') return imagesInText(await text(stdin))
  const stats = await stat(argument).catch(({ code }: NodeJS.ErrnoException) => {
    throw invalid(`it cannot be read (${code})`)
  })
  if (stats.isDirectory()) return imagesInChart(await filesInDirectory(argument))
  if (/\.(?:tgz|tar\.gz)$/.test(argument)) return imagesInChart(await filesInArchive(createReadStream(argument)))
  if (stats.size > maxText) throw invalid('it is longer than any list')
  return imagesInText(await readFile(argument, 'utf8'))
}

const imagesInText = (text: string): Found => ({
  references: areManifests(text) ? imagesInManifests(text) : referencesIn(text),
  faults: [],
})
