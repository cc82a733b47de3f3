import type { ClientFile, Recipe } from '../clients/client.ts'

/** A recipe as people read it. What is no part of a file is a comment, so that a single file can be taken as printed. */
export function printedRecipe(recipe: Recipe): string {
  const { files, document } = recipe
  return [...files.map(printedFile), ...(document === undefined ? [] : [document]), commented(printedSteps(recipe))]
    .filter((part) => part !== '')
    .join('\n')
}

/** What comes after the files. */
export function printedSteps({ run, notes }: Pick<Recipe, 'run' | 'notes'>): string {
  const commands = run.length === 0 ? '' : `Then:\n${run.map((command) => `  ${command}\n`).join('')}`
  return commands + notes.map(printedNote).join('')
}

function printedFile({ path, content, copyOf, merges }: ClientFile): string {
  if (copyOf !== undefined) return `# ${path}: a copy of ${copyOf}\n`
  return `# ${path}${merges ? ', beside what it holds' : ''}\n${content(undefined)}`
}

function printedNote(note: string): string {
  const [first = '', ...snippet] = note.split('\n')
  return `${first}\n${snippet.map((line) => (line === '' ? '\n' : `    ${line}\n`)).join('')}`
}

const commented = (text: string): string =>
  text
    .replace(/^(?=.)/gm, '# ')
    .replace(/^$/gm, '#')
    .replace(/#$(?![\s\S])/, '')
