import type { Credential, Credentials } from '../../src/credentials/credentials.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Body } from '../../src/oci/registry.ts'
import type { Rule } from '../../src/rules/rule.ts'
import { Upstream, type UpstreamOptions } from '../../src/upstream/upstream.ts'

/** A rule as the file would make it, to an upstream at this origin. */
export const ruleTo = (upstream: string, changes: Partial<Rule> = {}): Rule => ({
  prefix: 'test.example',
  source: 'file',
  upstream,
  upstreamRepositoryPrefix: 'ROOT',
  realmHosts: [],
  dialect: 'generic',
  tagTtl: [{ pattern: '*', ttlMs: 0 }],
  negativeTtlMs: 0,
  onUnknownTag: 'unknown',
  repositories: { allow: [], deny: [] },
  ...changes,
})

/** Credentials that remember what was refused. */
export class TestCredentials implements Credentials {
  current: Credential | undefined
  readonly rejected: Credential[] = []
  onReject: () => void = () => {}

  constructor(username?: string, password = '') {
    this.current = username === undefined ? undefined : { username, password }
  }

  async get(): Promise<Credential | undefined> {
    return this.current
  }

  reject(credential: Credential): void {
    this.rejected.push(credential)
    this.onReject()
  }
}

export type TestUpstreamOptions = Partial<Omit<UpstreamOptions, 'credentials'>> & {
  changes?: Partial<Rule>
  credentials?: Credentials | Credentials[]
}

/** Our side of an upstream under test, with short patience. */
export function upstreamTo(
  origin: string,
  { changes, credentials = new TestCredentials(), ...options }: TestUpstreamOptions = {},
): Upstream {
  return new Upstream({
    rule: ruleTo(origin, changes),
    credentials: [credentials].flat(),
    timeouts: { connectMs: 1000, headersMs: 2000, idleMs: 2000 },
    allowPrivate: false,
    retryDelayMs: 1,
    ...options,
  })
}

export async function bytesOf(body: Body, signal?: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = []
  await using owned = body
  await owned.sendTo({ write: (chunk) => void chunks.push(Buffer.from(chunk)) }, signal)
  return Buffer.concat(chunks)
}

export const digestOfBody = async (body: Body) => digestOf(await bytesOf(body))
