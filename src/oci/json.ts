/**
 * Reads JSON that says nothing twice: of two equal keys `JSON.parse` keeps the last, and what the first of them said,
 * which people may have read, would not hold. Throws `SyntaxError`, whose message says what the text does and, unlike
 * the parser's own, quotes nothing of it.
 */
export function parseUnambiguous(text: string): unknown {
  let value: unknown
  let keys: number
  try {
    value = JSON.parse(text)
    keys = countKeys(JSON.stringify(value))
  } catch {
    throw new SyntaxError('is not JSON')
  }
  if (keys !== countKeys(text)) throw new SyntaxError('has a key twice')
  return value
}

/** Of valid JSON: strings that a colon follows. */
const countKeys = (text: string): number =>
  [...text.matchAll(/"(?:[^"\\]|\\.)*"(?<colon>\s*:)?/g)].filter(({ groups }) => groups?.colon).length
