/** One way in which a server says it lets clients in. Names of parameters are lower case. */
export type Challenge = { scheme: string; parameters: ReadonlyMap<string, string> }

const longest = 8 * 1024

// A word, or a word with its value: a token or a quoted string.
const part = /[\s,]*([!#$%&'*+\-.^_`|~\w]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*)))?(?=[\s,]|$)/y

/**
 * Reads the values of WWW-Authenticate headers, which hold any number of challenges. What cannot be read gives none.
 *
 * https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const text = (typeof header === 'string' ? header : (header ?? []).join(', ')).trimEnd()
  if (text.length > longest) return []
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  while (at < text.length) {
    part.lastIndex = at
    const match = part.exec(text)
    if (!match) return []
    at = part.lastIndex
    const [, word = '', quoted, token] = match
    if (quoted === undefined && token === undefined) {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() })
      continue
    }
    const current = challenges.at(-1)
    if (!current) return []
    const name = word.toLowerCase()
    if (!current.parameters.has(name)) current.parameters.set(name, quoted?.replace(/\\(.)/g, '$1') ?? token ?? '')
  }
  return challenges
}
