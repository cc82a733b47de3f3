import type { TagSelection } from './policy.ts'

/** Whether images with such tags are among those that a rule is about. */
export function tagMatcher(selection: TagSelection): (tags: readonly string[]) => boolean {
  switch (selection.tagStatus) {
    case 'any':
      return () => true
    case 'untagged':
      return (tags) => tags.length === 0
    case 'tagged': {
      const tests = 'prefixes' in selection ? selection.prefixes.map(prefixTest) : selection.patterns.map(patternTest)
      return (tags) => tests.every((test) => tags.some(test))
    }
  }
}

type TagTest = (tag: string) => boolean

const prefixTest =
  (prefix: string): TagTest =>
  (tag) =>
    tag.startsWith(prefix)

/** Each part between two wildcards is taken where it first stands: no tag costs more than its length for each part. */
function patternTest(pattern: string): TagTest {
  const [start = '', ...inner] = pattern.split('*')
  const end = inner.pop()
  if (end === undefined) return (tag) => tag === pattern
  return (tag) => {
    if (!tag.startsWith(start)) return false
    let at = start.length
    for (const part of inner) {
      const found = tag.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return tag.length - end.length >= at && tag.endsWith(end)
  }
}
