import type { Socket } from 'node:net'
import { DiskStore } from '../blobs/disk.ts'
import { Line } from '../http/front/line.ts'
import { Postscripts } from '../http/front/postscripts.ts'
import { Relay } from '../http/front/relay.ts'
import { Shelf } from '../http/front/shelf.ts'
import { PreparedAnswers } from '../http/prepared.ts'
import { QuickAnswers } from '../http/quick.ts'
import { serveHanded } from '../http/server.ts'
import { Tally } from '../inspection/tally.ts'
import type { Digest } from '../oci/digest.ts'
import { createLog } from '../telemetry/log.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { sharedOutput } from '../telemetry/shared-output.ts'
import type { Beginning, ToFront, ToOwner } from './messages.ts'
import { ToldProof } from './told-proof.ts'

/** How often a front reports without being asked: what it has counted since the last time is lost when it is killed. */
const reportEveryMs = 2000

/** Uses of so many milliseconds are told together. */
const usesMs = 100

/** Of what is remembered about who may have which blob, in bytes. */
const permittedBytes = 4 * 1024 * 1024

/** A front at work: it does what its owner says, and knows what it was told. */
export class Front {
  readonly #send: (message: ToOwner) => void
  readonly #leave: () => void
  readonly #metrics = new Metrics()
  readonly #tally = new Tally(0, (repository) => repository)
  readonly #used = new Set<Digest>()
  readonly #postscripts = new Postscripts()
  /** Of no count is anything remembered as long as none was told. */
  readonly #changes = { count: Number.NaN }
  readonly #parts = new AsyncDisposableStack()
  #proof: ToldProof | undefined
  #service: ReturnType<typeof serveHanded> | undefined

  /** `leave` is called when nothing is left to do. */
  constructor({ send, leave }: { send: (message: ToOwner) => void; leave: () => void }) {
    this.#send = send
    this.#leave = leave
  }

  announce(): void {
    this.#send({ kind: 'here' })
  }

  take(message: ToFront, socket?: Socket): void {
    switch (message.kind) {
      case 'begin':
        this.#take(message.changes)
        this.#begin(message.beginning)
        break
      case 'connection':
        this.#serve(message.connection, socket)
        break
      case 'changes':
        this.#take(message.changes)
        break
      case 'postscript':
        this.#postscripts.take(message.requestId, message.told)
        break
      case 'certificate':
        this.#proof?.take(message.context)
        break
      case 'report':
        void this.#report()
        break
      case 'end':
        void this.#end(message.graceMs)
    }
  }

  /** Said before anything of it is read: until then it is the owner's to give to another front. */
  #serve(connection: number, socket: Socket | undefined): void {
    this.#send({ kind: 'took', connection })
    const gone = () => this.#send({ kind: 'gone', connection })
    if (!socket || !this.#service) {
      socket?.destroy()
      gone()
      return
    }
    socket.once('close', gone)
    this.#service.take(socket)
  }

  #take(changes: number): void {
    this.#changes.count = changes
    this.#send({ kind: 'acknowledged', changes })
  }

  #begin(beginning: Beginning): void {
    const { front, socketPath, dataDir, certificate } = beginning
    const parts = this.#parts
    parts.use(createLog(beginning.logLevel, sharedOutput()))
    this.#proof = certificate && new ToldProof(certificate)
    const relay = new Relay({
      line: parts.use(new Line({ front, socketPath })),
      postscripts: this.#postscripts,
      shelf: new Shelf({
        store: DiskStore.reading(dataDir),
        damaged: (digest, requestId) => this.#send({ kind: 'damaged', digest, requestId }),
      }),
      permitted: this.#remembering(permittedBytes, beginning),
    })
    this.#service = serveHanded(relay.answer, {
      writeStallMs: beginning.writeStallMs,
      headersTimeoutMs: beginning.headersTimeoutMs,
      trustedProxies: beginning.trustedProxies,
      quick: this.#remembering(beginning.preparedBytes, beginning),
      ...(this.#proof && { certificate: this.#proof }),
    })
    const reporting = setInterval(() => void this.#report(), reportEveryMs)
    parts.defer(() => clearInterval(reporting))
    this.#send({ kind: 'serving' })
  }

  #remembering(maxBytes: number, { proves }: Beginning): QuickAnswers {
    const used = (digest: Digest) => this.#note(digest)
    return new QuickAnswers({
      prepared: new PreparedAnswers({ maxBytes, changes: this.#changes, used, clock: Date.now }),
      proves,
    })
  }

  #note(digest: Digest): void {
    if (this.#used.size === 0) setTimeout(() => this.#tellUses(), usesMs)
    this.#used.add(digest)
  }

  #tellUses(): void {
    this.#send({ kind: 'used', digests: [...this.#used] })
    this.#used.clear()
  }

  async #report(): Promise<void> {
    const counts = this.#tally.take()
    this.#send({ kind: 'report', report: { counts, samples: await this.#metrics.samples() } })
  }

  async #end(graceMs: number): Promise<void> {
    await this.#service?.close(graceMs)
    await this.#postscripts.settled()
    await this.#report()
    await this.#parts.disposeAsync()
    this.#leave()
  }
}
