import { parseAllDocuments } from 'yaml'
import { invalid } from '../request.ts'

/** The documents of a YAML or JSON text as plain values, without a circle in any. Throws `invalid`, by `what` it is not. */
export function documentsIn(text: string, what: string): unknown[] {
  try {
    return parseAllDocuments(text).map((document) => {
      const [error] = document.errors
      if (error) throw error
      return JSON.parse(JSON.stringify(document.toJS() ?? null))
    })
  } catch (error) {
    throw invalid(`${what}: ${(error as Error).message.split('\n')[0]}`)
  }
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
