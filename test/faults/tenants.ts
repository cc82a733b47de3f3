import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, type Image, image, type RequestKind, startUpstream } from '../support/faulty-upstream.ts'
import { type Asking, digestOfBytes, type Got } from './client.ts'
import { Ground, type Reader, ruleTo } from './ground.ts'

const MiB = 1024 * 1024
const account = { username: 'tenant', password: 'correct horse' }

/** Something that can be asked about an image, below its repository. */
export type Question = { kind: RequestKind; path: (image: Image) => string; asking?: Asking }

/**
 * `owner` holds the image, `sharer` holds it too, `other` does not, all three under a rule with the upstream's
 * credential; `anonymous` asks for the owner's repository under a rule to the same upstream without it.
 */
export type Caller = 'owner' | 'sharer' | 'other' | 'anonymous'

/** All by which a client could tell one answer from another. */
export type Answer = { status: number; complete: boolean; body: string; headers: unknown[] }

export type State = 'cold' | 'warm' | 'in flight'

/** A Cistern before an upstream that wants a credential, of which one rule has it. */
export class Tenants implements AsyncDisposable {
  readonly upstream: FaultyUpstream
  readonly ground: Ground

  private constructor(upstream: FaultyUpstream, ground: Ground) {
    this.upstream = upstream
    this.ground = ground
  }

  static async start(): Promise<Tenants> {
    const upstream = await startUpstream()
    upstream.requireBasic(account.username, account.password)
    const rules = [
      ruleTo('private.test', upstream.url, { credential: account }),
      ruleTo('anonymous.test', upstream.url),
    ]
    return new Tenants(upstream, await Ground.start({ rules }))
  }

  get insider(): Reader {
    return this.ground.at('private.test')
  }

  get outsider(): Reader {
    return this.ground.at('anonymous.test')
  }

  /** An image, signed, in the repositories of those who have it, and another one in the repository of who has not. */
  add(name: string): Image {
    const pushed = image({ seed: name, layers: [3 * MiB] })
    const { descriptor } = pushed
    const signature = image({ seed: `${name} signed`, layers: [10], subject: descriptor, artifactType: 'x/y' })
    for (const repository of [`${name}/owner`, `${name}/sharer`]) {
      this.upstream.addImage(repository, 'v1', pushed)
      this.upstream.addImage(repository, undefined, signature)
    }
    this.upstream.addImage(`${name}/other`, 'v2', image({ seed: `${name} other` }))
    return pushed
  }

  /** What each caller is answered in a state of the cache; with each name once. Whoever may not see it asks first. */
  async answers(state: State, name: string, question: Question): Promise<Record<Caller, Answer>> {
    const pushed = this.add(name)
    const ask = (caller: Caller) => this.#ask(caller, name, question, pushed)
    if (state === 'warm') await this.#warm(`${name}/owner`, pushed)
    const flight = state === 'in flight' ? await this.#hold(`${name}/owner`, question, pushed) : undefined
    const anonymous = await ask('anonymous')
    const other = await ask('other')
    if (!flight) return { owner: await ask('owner'), sharer: await ask('sharer'), other, anonymous }
    const joining = [ask('owner'), ask('sharer')] as const
    flight.goOn()
    const [owner, sharer] = await Promise.all(joining)
    await flight.ended
    return { owner, sharer, other, anonymous }
  }

  async #ask(caller: Caller, name: string, { path, asking }: Question, pushed: Image): Promise<Answer> {
    const [reader, repository] =
      caller === 'anonymous' ? [this.outsider, `${name}/owner`] : [this.insider, `${name}/${caller}`]
    return answerOf(await reader.get(`${repository}/${path(pushed)}`, asking), this.upstream.host)
  }

  async #warm(repository: string, { digest, config, layers }: Image): Promise<void> {
    const blobs = [config, ...layers].map(({ digest }) => `blobs/${digest}`)
    for (const path of ['manifests/v1', `manifests/${digest}`, ...blobs, `referrers/${digest}`, 'tags/list']) {
      await this.insider.get(`${repository}/${path}`)
    }
    for (const { digest } of [config, ...layers]) await this.ground.keeps(digest)
  }

  /** The owner asks first, and upstream's answer stands still: of a blob when its first MiB is there. */
  async #hold(repository: string, { kind, path }: Question, pushed: Image) {
    const { promise, resolve: goOn } = Promise.withResolvers<void>()
    const stop = kind === 'blob' ? { pauseAfter: MiB, resume: promise } : { until: promise }
    let standing = false
    const when = (seen: { repository: string }) => {
      standing ||= seen.repository === repository
      return seen.repository === repository
    }
    this.upstream.fault(kind, { ...stop, method: 'GET', when })
    const ended = this.insider.get(`${repository}/${path(pushed)}`)
    await Promise.race([ended, eventually(async () => standing || Promise.reject(new Error('nobody asked upstream')))])
    return { goOn, ended }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ground[Symbol.asyncDispose]()
    await this.upstream[Symbol.asyncDispose]()
  }
}

/** `host` differs from one world to another, and stands in messages. */
function answerOf({ status, headers, body, complete }: Got, host: string): Answer {
  const telling = ['content-type', 'content-length', 'content-range', 'docker-content-digest', 'etag', 'link']
  const content = Buffer.from(body.toString('latin1').replaceAll(host, 'upstream'), 'latin1')
  return { status, complete, body: digestOfBytes(content), headers: telling.map((name) => headers[name]) }
}
