import type { WarmEvent, WarmState } from '../transfer/warm.ts'
import { printedLacks, printedSize } from './print.ts'

type Item = Extract<WarmEvent, { event: 'item' }>
type Progress = Extract<WarmEvent, { event: 'progress' }>

export type Summary = Record<WarmState, number> & { bytes: number }

/** Shows how a job goes. */
export type Display = {
  show(event: WarmEvent): void
  end(summary: Summary): void
}

/** Where text goes; a terminal has a width. */
export type Screen = { write(text: string): unknown; columns?: number }

/** How far back the rate looks, in milliseconds. */
const rateWindowMs = 10_000
/** How often programs are told of progress, in milliseconds. */
const progressIntervalMs = 5_000

const eraseLine = '\r\u001b[2K'

/** A line per image as it is done, and below them one that says how far all is. `now`: milliseconds. */
export function onTerminal(screen: Screen, now: () => number): Display {
  const rate = new Rate()
  let status = ''
  const redraw = (text: string) => {
    status = text.slice(0, Math.max(0, (screen.columns ?? 80) - 1))
    screen.write(`${eraseLine}${status}`)
  }
  return {
    show(event) {
      if (event.event === 'progress') return redraw(printedProgress(event, rate.note(event.bytes.fetched, now())))
      screen.write(`${eraseLine}${event.event === 'item' ? printedItem(event) : printedWait(event)}\n${status}`)
    },
    end: (summary) => void screen.write(`${eraseLine}${printedSummary(summary)}\n`),
  }
}

/** A line of JSON per event; of progress, one now and then. */
export function inLines(screen: Screen, now: () => number): Display {
  const startedAt = now()
  let toldAt = Number.NEGATIVE_INFINITY
  const tell = (event: object) => void screen.write(`${JSON.stringify(event)}\n`)
  return {
    show(event) {
      if (event.event !== 'progress') return tell(event)
      if (now() - toldAt < progressIntervalMs) return
      toldAt = now()
      tell(event)
    },
    end: (summary) => tell({ event: 'end', ...summary, durationMs: Math.round(now() - startedAt) }),
  }
}

/** What came lately, in bytes per second. */
class Rate {
  readonly #samples: { bytes: number; at: number }[] = []

  note(bytes: number, at: number): number {
    this.#samples.push({ bytes, at })
    while (this.#samples.length > 2 && at - (this.#samples[0]?.at ?? at) > rateWindowMs) this.#samples.shift()
    const [first] = this.#samples
    return first && at > first.at ? ((bytes - first.bytes) * 1000) / (at - first.at) : 0
  }
}

export function printedProgress({ items, bytes }: Progress, bytesPerSecond: number): string {
  const parts = [
    `${items.done} of ${items.total} images`,
    `${printedSize(bytes.fetched)} of ${printedSize(bytes.known)}`,
  ]
  if (bytesPerSecond >= 1) parts.push(`${printedSize(bytesPerSecond)}/s`)
  // Images of which nothing is known yet may be as large as the others.
  const unknown = Math.max(0, items.total - Math.max(items.surveyed, items.done))
  const left = bytes.known - bytes.fetched + (items.surveyed > 0 ? (bytes.known / items.surveyed) * unknown : 0)
  if (bytesPerSecond >= 1 && left > 0) parts.push(`${printedSpan((left / bytesPerSecond) * 1000)} left`)
  return parts.join(', ')
}

function printedItem({
  reference,
  state,
  bytes,
  reason,
  retryAfterMs,
  unchecked,
  missing,
  missingCount,
}: Item): string {
  const notes = [
    state === 'fetched' ? printedSize(bytes) : undefined,
    unchecked ? 'its upstream could not be asked whether it moved' : undefined,
    reason,
    missing && printedLacks({ missing, ...(missingCount !== undefined && { missingCount }) }),
    retryAfterMs === undefined ? undefined : `again in ${printedSpan(retryAfterMs)}`,
  ].filter((note) => note !== undefined)
  return `${state.padEnd(8)}  ${reference}${notes.length > 0 ? `: ${notes.join('; ')}` : ''}`
}

const printedWait = ({ upstream, waitMs }: Extract<WarmEvent, { event: 'waiting' }>): string =>
  `waiting   ${upstream} allows no more for ${printedSpan(waitMs)}`

const printedSummary = ({ fetched, here, failed, deferred, bytes }: Summary): string =>
  `${fetched} fetched (${printedSize(bytes)}), ${here} here already, ${failed} failed, ${deferred} deferred`

/** The two largest units. */
function printedSpan(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const two = (value: number) => String(value).padStart(2, '0')
  if (h > 0) return `${h}h ${two(m)}m`
  return m > 0 ? `${m}m ${two(s)}s` : `${s}s`
}
