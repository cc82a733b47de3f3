import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Changes } from '../../async/changes.ts'
import { Exchange } from '../exchange.ts'
import type { Attendant } from '../server.ts'
import type { Sender } from '../trusted-proxies.ts'
import { type Errand, readErrand } from './errand.ts'
import { type Told, toldHeader, toldOf, writeTold } from './told.ts'

export type AttendanceOptions = {
  changes: Pick<Changes, 'count'>
  /** Tells a front how an exchange ended that broke off: there was no saying so in its answer. */
  postscript: (front: number, requestId: string, told: Told) => void
}

/** The owner's side of what fronts pass on: whose requests they are, and what to say to the front besides the answer. */
export function attendance({ changes, postscript }: AttendanceOptions): Attendant {
  return {
    attend(incoming: IncomingMessage, outgoing: ServerResponse, writeStallMs: number): Exchange {
      const { front, inFull = false, ...sender }: typeof nobody & Sender = readErrand(incoming) ?? nobody
      const exchange = new Exchange(incoming, outgoing, sender, writeStallMs)
      const counted = changes.count
      exchange.readsStore = !inFull
      exchange.tell = (answer) => ({ [toldHeader]: writeTold(toldOf(exchange, counted, answer)) })
      outgoing.once('close', () => {
        if (!outgoing.writableFinished) postscript(front, exchange.requestId, toldOf(exchange, counted))
      })
      return exchange
    },
  }
}

/** Whoever reaches the socket without being a front is our own user. */
const nobody: Omit<Errand, 'requestId'> = { front: 0, client: 'unknown', secure: false }
