import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ask, digestOfBytes } from '../faults/client.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { type FaultyUpstream, startUpstream } from '../support/faulty-upstream.ts'
import { Content, repository } from './content.ts'
import { Dice } from './dice.ts'
import { type History, newHistory, readOne } from './reader.ts'
import { type Resources, resourcesOf } from './resources.ts'
import { inspect, troubleDisk, troubleUpstream } from './trouble.ts'

export type SoakOptions = { seconds: number; seed: number }

export type Report = History & {
  seed: number
  kills: number
  damaged: number
  /** Bytes of blobs on disk, at most, as a part of what they may have. */
  fullest: number
  /** Bytes. */
  evicted: number
  idle: Resources
  early: Resources
  final: Resources
}

const instances = 2
const readers = 3
const maxPartials = 16
const slack = { descriptors: 4, rss: 96 * 1024 * 1024 }

/**
 * Cisterns between clients and an upstream that fails, on disks that fail: first they are killed at random again and
 * again; then one of them runs on for a while, and is to hold afterwards what it held before.
 */
export async function soak({ seconds, seed }: SoakOptions): Promise<Report> {
  await using held = new AsyncDisposableStack()
  const dice = new Dice(seed)
  const upstream = held.use(await startUpstream())
  const content = new Content(upstream, dice)
  const compiled = held.use(await mkdtempDisposable(join(tmpdir(), 'cistern-soak-')))
  const run = new Run(upstream, content, dice, compiled.path)
  const started = performance.now()
  const until = (share: number) => started + seconds * 1000 * share

  await Promise.all(Array.from({ length: instances }, () => run.killAgainAndAgain(until(0.7))))
  return await run.holdOut(until(1), seed)
}

class Run {
  readonly #upstream: FaultyUpstream
  readonly #content: Content
  readonly #dice: Dice
  readonly #compiled: string
  readonly #history = newHistory()
  readonly #damaged = new Set<string>()
  readonly #maxSize: number
  #kills = 0
  #fullest = 0
  #moves = 100

  constructor(upstream: FaultyUpstream, content: Content, dice: Dice, compiled: string) {
    this.#upstream = upstream
    this.#content = content
    this.#dice = dice
    this.#compiled = compiled
    this.#maxSize = Math.round(content.bytes * 0.6)
  }

  async killAgainAndAgain(until: number): Promise<void> {
    await using cistern = await this.#start()
    while (performance.now() < until) {
      const reading = new AbortController()
      const load = this.#load(cistern, reading.signal)
      await this.#answers(this.#dice.below(30))
      reading.abort()
      await cistern.kill()
      this.#kills++
      await load
      await this.#inspect(cistern)
      await cistern.restart()
    }
    await this.#readAll(cistern)
  }

  async holdOut(until: number, seed: number): Promise<Report> {
    await using cistern = await this.#start()
    const pid = cistern.pid ?? 0
    await this.#readAll(cistern)
    const idle = await this.#settled(pid, Number.POSITIVE_INFINITY)
    const middle = (performance.now() + until) / 2
    await this.#loadUntil(cistern, middle)
    const early = await resourcesOf(pid)
    await this.#loadUntil(cistern, until)
    await this.#readAll(cistern)
    const final = await this.#settled(pid, idle.descriptors + slack.descriptors)
    this.#expect(final.descriptors <= idle.descriptors + slack.descriptors, 'descriptors leak')
    this.#expect(final.partials <= maxPartials, 'more broken transfers are kept than may be')
    this.#expect(final.rss <= early.rss + slack.rss, 'memory grows')
    await this.#inspect(cistern)
    const evicted = await metricOf(cistern, 'cistern_evicted_bytes_total')
    const counts = { seed, kills: this.#kills, damaged: this.#damaged.size, fullest: this.#fullest, evicted }
    return { ...this.#history, ...counts, idle, early, final }
  }

  #start(): Promise<CisternProcess> {
    return startCistern({
      rules: [{ prefix: 'soak.test', upstream: this.#upstream.url, tagTtl: '0', negativeTtl: '0' }],
      config: {
        cache: { maxSize: this.#maxSize, minFree: '0', manifestMemory: '0' },
        timeouts: { connect: '1s', headers: '2s', idle: '1s', revalidate: '500ms', retryPause: '20ms', drain: '1s' },
      },
      env: { NODE_COMPILE_CACHE: this.#compiled },
    })
  }

  async #loadUntil(cistern: CisternProcess, until: number): Promise<void> {
    const reading = new AbortController()
    const load = this.#load(cistern, reading.signal)
    await delay(Math.max(0, until - performance.now()))
    reading.abort()
    await load
  }

  async #load({ url, dataDir }: CisternProcess, signal: AbortSignal): Promise<void> {
    const read = async () => {
      while (!signal.aborted) {
        if (this.#dice.below(6) === 0) await this.#trouble(dataDir)
        await readOne(url, this.#content, this.#dice, this.#history)
      }
    }
    await Promise.all(Array.from({ length: readers }, read))
  }

  async #trouble(dataDir: string): Promise<void> {
    if (this.#dice.below(4) === 0) this.#upstream.heal()
    troubleUpstream(this.#upstream, this.#dice)
    if (this.#dice.below(4) === 0) this.#content.moveTag(this.#dice.pick(this.#content.tags.keys()), this.#moves++ % 20)
    const damaged = this.#dice.below(4) === 0 ? await troubleDisk(dataDir, this.#dice) : undefined
    if (damaged) this.#damaged.add(damaged)
  }

  /** Waits for so many more answers, or until it takes too long. */
  async #answers(count: number): Promise<void> {
    const goal = this.#history.answers + count
    const deadline = performance.now() + 3000
    while (this.#history.answers < goal && performance.now() < deadline) await delay(2)
  }

  /** What is visible is whole, or was damaged by us. */
  async #inspect({ dataDir }: CisternProcess): Promise<void> {
    const { wrong, bytes } = await inspect(dataDir)
    this.#fullest = Math.max(this.#fullest, bytes / this.#maxSize)
    this.#expect(bytes <= this.#maxSize, `${bytes} bytes are stored, more than ${this.#maxSize}`)
    for (const digest of wrong) this.#expect(this.#damaged.has(digest), `${digest} is visible and not whole`)
  }

  /** In good weather everybody gets everything, once it is known that the weather is good. */
  async #readAll(cistern: CisternProcess): Promise<void> {
    this.#upstream.heal()
    const isRight = async (digest: string) => {
      const got = await ask(`${cistern.url}/v2/soak.test/${repository}/blobs/${digest}`)
      return got.status === 200 && got.complete && digestOfBytes(got.body) === digest
    }
    const digests = [...this.#content.blobs.keys()]
    const reached = performance.now() + 15_000
    while (performance.now() < reached && !(await Promise.all(digests.slice(0, 3).map(isRight))).every(Boolean)) {
      await delay(200)
    }
    for (const digest of digests) {
      // What a bad upstream left of a transfer is found out, and thrown away, by the pull that goes on with it.
      const served = (await isRight(digest)) || (await isRight(digest))
      this.#expect(served, `${digest} is not served in good weather`)
    }
  }

  /** Waits, for a bounded time, until no more descriptors are open than that, and resolves to what is held then. */
  async #settled(pid: number, descriptors: number): Promise<Resources> {
    const deadline = performance.now() + 15_000
    for (;;) {
      const held = await resourcesOf(pid)
      if (held.descriptors <= descriptors || performance.now() > deadline) return held
      await delay(200)
    }
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.#history.violations.push(what)
  }
}

async function metricOf({ adminUrl }: CisternProcess, name: string): Promise<number> {
  const { body } = await ask(`${adminUrl}/metrics`)
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(body.toString())?.[1])
}
