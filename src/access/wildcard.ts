/** Whether `text` is of the form of `pattern`: `*` stands for any run of characters, `?` for any one of them. */
export function wildcardMatches(pattern: string, text: string): boolean {
  let inPattern = 0
  let inText = 0
  let star = -1
  let resume = 0
  while (inText < text.length) {
    if (pattern[inPattern] === '*') {
      star = inPattern++
      resume = inText
    } else if (inPattern < pattern.length && (pattern[inPattern] === '?' || pattern[inPattern] === text[inText])) {
      inPattern++
      inText++
    } else if (star >= 0) {
      inPattern = star + 1
      inText = ++resume
    } else {
      return false
    }
  }
  while (pattern[inPattern] === '*') inPattern++
  return inPattern === pattern.length
}

/**
 * As `wildcardMatches`, with each of the six parts of an ARN by itself: a wildcard never reaches over the colon of
 * another part. `*` alone matches everything.
 */
export function arnMatches(pattern: string, arn: string): boolean {
  if (pattern === '*') return true
  const patterns = arnParts(pattern)
  const parts = arnParts(arn)
  return patterns.length === parts.length && patterns.every((part, index) => wildcardMatches(part, parts[index] ?? ''))
}

/** An ARN has six parts, the last of which may hold colons. */
export const isArnPattern = (text: string): boolean => text.startsWith('arn:') && arnParts(text).length === 6

function arnParts(text: string): string[] {
  const parts = text.split(':')
  return [...parts.slice(0, 5), ...(parts.length > 5 ? [parts.slice(5).join(':')] : [])]
}
