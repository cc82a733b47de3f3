import { setTimeout as delay } from 'node:timers/promises'
import type { Changes } from './async/changes.ts'
import type { Door } from './cluster/door.ts'
import { FrontProcess, type Hearing } from './cluster/front-process.ts'
import type { Beginning } from './cluster/messages.ts'
import type { Proof } from './http/certificate.ts'
import type { Told } from './http/front/told.ts'
import { publish } from './telemetry/events.ts'
import { type Samples, withDeparted } from './telemetry/samples.ts'

export type FrontsOptions = Pick<Hearing, 'used' | 'report' | 'damaged'> & {
  count: number
  /** What all fronts have to know. */
  common: Omit<Beginning, 'front' | 'certificate'>
  certificate: Proof | undefined
  changes: Changes
}

/** One that lived for less died young, in milliseconds. */
const youthMs = 10_000

/** How long it takes until the third in a row is there of which the first two died young. Doubles with each further one. */
const firstPauseMs = 100
const maxPauseMs = 10_000

/** How often it is looked whether all were heard of. A front says something as often. */
const tickMs = 2000

/** How long metrics wait for a front, in milliseconds. Where it is late, its last report counts. */
const reportPatienceMs = 1000

/** How long fronts may take to end beyond what they were given, in milliseconds. */
const endPatienceMs = 5000

/**
 * The processes that serve clients, for the one that has the cache: their owner. They know what it tells them, and give
 * nothing out that they remember from before a change that they were told of. One that dies is replaced, and the others
 * go on.
 */
export class Fronts {
  readonly #options: FrontsOptions
  /** By the place of each. */
  readonly #fronts = new Map<number, FrontProcess>()
  /** What those have counted that are no more, by their place. */
  readonly #departed = new Map<number, Samples>()
  readonly #keeping: Promise<void>[] = []
  readonly #closing = new AbortController()
  readonly #unsubscribe: (() => void)[] = []
  #last = 0

  constructor(options: FrontsOptions) {
    this.#options = options
  }

  /** Resolves once all serve what comes in by the door. Throws where one cannot. */
  async open(door: Door): Promise<void> {
    const { count, changes, certificate } = this.#options
    this.#unsubscribe.push(changes.listen(() => this.#each((front) => front.tell(changes.count))))
    const ticking = setInterval(() => this.#each((front) => front.tick()), tickMs).unref()
    this.#unsubscribe.push(() => clearInterval(ticking))
    const started = Array.from({ length: count }, (_, place) => this.#start(place, door))
    await Promise.all(started.map(({ serving }) => serving))
    for (const [place, front] of started.entries()) this.#keeping.push(this.#keep(place, front, door))
    if (certificate) {
      const renew = () => this.#each((front) => front.send({ kind: 'certificate', context: certificate.context }))
      this.#unsubscribe.push(certificate.follow(renew))
    }
  }

  /** How many there are to be, and how many serve. */
  get state(): { count: number; serving: number } {
    const serving = [...this.#fronts.values()].filter(({ isServing }) => isServing).length
    return { count: this.#options.count, serving }
  }

  /** Resolves once nothing that was remembered before the latest change is given to anybody. */
  readonly settled = async (): Promise<void> => {
    const { count } = this.#options.changes
    await this.#all((front) => front.settled(count))
  }

  /** What those that there are, and those that there were, have counted. */
  async samples(): Promise<Samples[]> {
    await this.reports()
    return [...this.#departed.values(), ...Array.from(this.#fronts.values(), ({ samples }) => samples)]
  }

  /** Resolves once those that there are have reported, or did not in time. */
  async reports(): Promise<void> {
    await this.#all((front) => front.report(reportPatienceMs))
  }

  readonly postscript = (front: number, requestId: string, told: Told): void => {
    this.#each((each) => {
      if (each.number === front) each.send({ kind: 'postscript', requestId, told })
    })
  }

  /** Lets answers under way finish for `graceMs`, and ends all. The door is closed before. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#each((front) => front.send({ kind: 'end', graceMs }))
    const late = setTimeout(() => this.#each((front) => front.kill()), graceMs + endPatienceMs)
    await this.#all((front) => front.ended)
    clearTimeout(late)
    await Promise.all(this.#keeping)
  }

  #start(place: number, door: Door): FrontProcess {
    const { used, report, damaged } = this.#options
    const begin = (number: number) => this.#begin(number)
    const front = new FrontProcess(++this.#last, { begin, door, used, report, damaged })
    this.#fronts.set(place, front)
    return front
  }

  #begin(front: number): { beginning: Beginning; changes: number } {
    const { common, certificate, changes } = this.#options
    const proof = certificate && { context: certificate.context, asksClients: certificate.asksClients }
    return { beginning: { ...common, front, ...(proof && { certificate: proof }) }, changes: changes.count }
  }

  /** Replaces the front of a place whenever it has ended. */
  async #keep(place: number, first: FrontProcess, door: Door): Promise<void> {
    const { signal } = this.#closing
    for (let front = first, young = 0; ; front = this.#start(place, door)) {
      const startedAt = performance.now()
      const how = await front.ended
      const counted = await withDeparted(this.#departed.get(place) ?? [], front.samples)
      this.#departed.set(place, counted)
      this.#fronts.delete(place)
      if (signal.aborted) return
      const message = `a worker ended with ${how}, and is replaced`
      publish('cistern:fault', { where: 'process', kind: 'internal', message })
      young = performance.now() - startedAt < youthMs ? young + 1 : 0
      const pauseMs = young < 2 ? 0 : Math.min(maxPauseMs, firstPauseMs * 2 ** (young - 2))
      await delay(pauseMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
    }
  }

  #each(act: (front: FrontProcess) => void): void {
    for (const front of this.#fronts.values()) act(front)
  }

  async #all(act: (front: FrontProcess) => Promise<unknown>): Promise<void> {
    await Promise.all(Array.from(this.#fronts.values(), act))
  }
}
