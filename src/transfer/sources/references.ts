/** The images that a source names, as they stand there, and what of it could not be understood. */
export type Found = { references: string[]; faults: string[] }

/** One reference per line; `#` begins a comment. */
export function referencesIn(text: string): string[] {
  const lines = text.split(/\r?\n/).map((line) => line.replace(/(^|\s)#.*$/, '').trim())
  return lines.filter((line) => line !== '')
}
