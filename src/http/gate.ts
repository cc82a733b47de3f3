const maxPathLength = 1024

/**
 * What is wrong with the target and the Host lines of a request as they stood on the wire, or `undefined`. Whatever
 * passes means the same to every part that reads it: nothing in the path is decoded, resolved or merged later on.
 * `%` is fine in the query, which only `URLSearchParams` reads.
 */
export function rawPathFault(target: string, hosts: readonly string[] = []): string | undefined {
  if (hosts.length > 1) return 'a request names one Host'
  if (hosts.some((host) => !/^[\w.:[\]-]*$/.test(host))) return 'a Host is a name or an address'
  if (!target.startsWith('/')) return 'a request target is an absolute path'
  if (!/^[\x21-\x7e]*$/.test(target) || target.includes('#')) return 'a request target is printable ASCII'
  const path = pathOf(target)
  if (path.length > maxPathLength) return `a path has at most ${maxPathLength} characters`
  if (/[%\\]/.test(path)) return 'a path holds neither % nor \\'
  if (path.includes('//')) return 'a path has no empty segments'
  if (/\/\.{1,2}(?:\/|$)/.test(path)) return 'a path has no dot segments'
  return undefined
}

/** The target up to its query. */
export const pathOf = (target: string): string => target.split('?', 1)[0] ?? ''
