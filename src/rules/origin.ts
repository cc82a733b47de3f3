/**
 * Reads `host[:port]`, which means HTTPS, or `http://` or `https://` spelled out, as an origin. `undefined` for
 * anything else, and for what has a user, a path, a query or a fragment.
 */
export function parseOrigin(text: string): string | undefined {
  const url = URL.parse(/^https?:\/\//.test(text) ? text : `https://${text}`)
  const plain = /^(?:https?:\/\/)?(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/.test(text)
  return plain && url ? url.origin : undefined
}

/** The registry of Docker Hub is not where its name leads. */
export const registryOrigin = (origin: string): string =>
  origin === 'https://docker.io' ? 'https://registry-1.docker.io' : origin

/** The names under which clients know Docker Hub. */
export const dockerHub: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io']
