import type { Credential, Credentials } from './credentials.ts'
import { FileValue } from './file-value.ts'

/** Docker Hub's API lives on one host, and clients log in to others. */
const dockerHub = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'])

/**
 * The entry for one upstream in a `config.json` of Docker or an `auth.json` of Podman: user and password as `docker
 * login` writes them without a credential helper. Helpers are programs, which are not run, and identity tokens need
 * another protocol: entries of these kinds count as none.
 */
export class DockerConfigCredentials implements Credentials {
  readonly #file: FileValue<Credential | undefined>

  constructor(path: string, upstreamHost: string) {
    this.#file = new FileValue(path, (text) => credentialIn(text, upstreamHost))
  }

  async get(): Promise<Credential | undefined> {
    return this.#file.get()
  }

  reject(): void {
    this.#file.forget()
  }
}

function credentialIn(text: string, upstreamHost: string): Credential | undefined {
  const { auths } = Object(parse(text)) as { auths?: unknown }
  for (const [key, entry] of Object.entries(Object(auths) as Record<string, unknown>)) {
    if (!isFor(key, upstreamHost)) continue
    const credential = credentialOf(Object(entry) as Record<string, unknown>)
    if (credential) return credential
  }
  return undefined
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('it is not valid JSON') // the parser's own message quotes the text
  }
}

function isFor(key: string, upstreamHost: string): boolean {
  const host = key.replace(/^https?:\/\//, '').replace(/(?:\/v[12])?\/?$/, '')
  return host === upstreamHost || (dockerHub.has(host) && dockerHub.has(upstreamHost))
}

function credentialOf({ auth, username, password }: Record<string, unknown>): Credential | undefined {
  if (typeof username === 'string' && typeof password === 'string' && password !== '') return { username, password }
  const decoded = typeof auth === 'string' ? Buffer.from(auth, 'base64').toString() : ''
  const colon = decoded.indexOf(':')
  if (colon < 1 || colon === decoded.length - 1) return undefined
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, '') }
}
