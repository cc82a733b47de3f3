import { type ChildProcess, fork } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Digest } from '../oci/digest.ts'
import type { Samples } from '../telemetry/samples.ts'
import type { Door } from './door.ts'
import type { Beginning, Report, ToFront, ToOwner } from './messages.ts'

/** Who hears what a front says. */
export type Hearing = {
  /** Says of a front what it has to know, once it is there. */
  begin: (front: number) => { beginning: Beginning; changes: number }
  door: Door
  used: (digest: Digest) => void
  report: (report: Report) => void
  /** A blob broke while it was read. */
  damaged: (digest: Digest, requestId: string) => void
}

/** How long a front may take to say that it took something in, in milliseconds. One that does not is ended. */
const patienceMs = 5000

/** How many ticks a front may say nothing: while it serves, when it has to report, and before. */
const maxSilence = { serving: 5, starting: 15 }

const script = fileURLToPath(new URL('front.ts', import.meta.url))

/** One front, from its start to its end, as the owner sees it. */
export class FrontProcess {
  readonly number: number
  readonly #child: ChildProcess
  readonly #hearing: Hearing
  readonly #serving = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<string>()
  readonly #waiting = new Set<() => void>()
  /** Absent as long as it was told nothing that it could remember. */
  #told: number | undefined
  #latest = 0
  #acknowledged = 0
  #silence = 0
  #isServing = false
  #isOver = false
  /** Why it was ended, where it was. */
  #reason: string | undefined
  #samples: Samples = []

  constructor(number: number, hearing: Hearing) {
    this.number = number
    this.#hearing = hearing
    this.#child = fork(script, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#serving.promise.catch(() => {}) // told to whoever waits for it
    this.#child.on('message', (message: ToOwner) => this.#take(message))
    this.#child.on('error', (error) => {
      if (this.#child.pid === undefined) this.#end(error.message)
    })
    // By then all that it said was heard.
    this.#child.once('close', (code, signal) => this.#end(signal ?? `status ${code}`))
  }

  /** Rejects where it ends before it serves. */
  get serving(): Promise<void> {
    return this.#serving.promise
  }

  get isServing(): boolean {
    return this.#isServing
  }

  /** Resolves to what it ended with. */
  get ended(): Promise<string> {
    return this.#ended.promise
  }

  /** As of its last report. */
  get samples(): Samples {
    return this.#samples
  }

  send(message: ToFront): void {
    if (this.#child.connected) this.#child.send(message, () => {}) // that it is gone is told by its end
  }

  give(connection: number, socket: Socket): void {
    const message: ToFront = { kind: 'connection', connection }
    if (this.#child.connected) this.#child.send(message, socket, { keepOpen: true }, () => {})
  }

  /** Tells how many changes there were. While one is not acknowledged the next ones wait, and of those the last is told. */
  tell(changes: number): void {
    this.#latest = changes
    if (this.#told === undefined || this.#told !== this.#acknowledged || changes === this.#told) return
    this.#told = changes
    this.send({ kind: 'changes', changes })
  }

  /** Resolves once it knows of so many changes, or can remember nothing from before them. One that is silent is ended. */
  async settled(changes: number): Promise<void> {
    const isSo = () => this.#told === undefined || this.#acknowledged >= changes
    await this.#until(isSo, patienceMs)
    if (isSo() || this.#isOver) return
    this.#giveUp()
    await this.#ended.promise
  }

  /** Some time has passed. One that has said nothing for too many of these times hangs, and is ended. */
  tick(): void {
    if (++this.#silence > maxSilence[this.#isServing ? 'serving' : 'starting']) this.#giveUp()
  }

  /** Resolves once it reported, or did not in time. */
  async report(withinMs: number): Promise<void> {
    if (!this.#isServing) return
    const before = this.#samples
    this.send({ kind: 'report' })
    await this.#until(() => this.#samples !== before, withinMs)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #giveUp(): void {
    this.#reason = 'it was not heard of any more'
    this.kill()
  }

  #take(message: ToOwner): void {
    this.#silence = 0
    const { begin, door, used, report, damaged } = this.#hearing
    switch (message.kind) {
      case 'here': {
        const beginning = begin(this.number)
        this.#told = beginning.changes
        this.#latest = beginning.changes
        this.send({ kind: 'begin', ...beginning })
        break
      }
      case 'serving':
        this.#isServing = true
        door.admit(this)
        this.#serving.resolve()
        break
      case 'took':
        door.took(message.connection)
        break
      case 'gone':
        door.gone(message.connection)
        break
      case 'acknowledged':
        this.#acknowledged = message.changes
        this.tell(this.#latest)
        break
      case 'used':
        for (const digest of message.digests) used(digest)
        break
      case 'report':
        this.#samples = message.report.samples
        report(message.report)
        break
      case 'damaged':
        damaged(message.digest, message.requestId)
    }
    for (const look of this.#waiting) look()
  }

  #end(how: string): void {
    if (this.#isOver) return
    this.#isServing = false
    this.#isOver = true
    this.#hearing.door.dismiss(this)
    const reason = this.#reason === undefined ? how : `${how}, for ${this.#reason}`
    this.#serving.reject(new Error(`a worker ended with ${reason} before it served`))
    this.#ended.resolve(reason)
    for (const look of this.#waiting) look()
  }

  /** Waits until `isSo`, until it has ended, or until the time is up. */
  #until(isSo: () => boolean, withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const look = () => {
        if (this.#isOver || isSo()) done()
      }
      const timer = setTimeout(done, withinMs)
      this.#waiting.add(look)
      look()
    })
  }
}
