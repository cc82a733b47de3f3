import type { IncomingMessage } from 'node:http'
import { asciiJson } from './ascii-json.ts'

/** What a front says of a request that it passes on: whose it is. */
export type Errand = {
  /** The number of the front. */
  front: number
  requestId: string
  client: string
  secure: boolean
  /** The front could not read the blob itself, and wants its bytes. */
  inFull?: boolean
}

/** Stands first in what a front sends. What clients send under such a name goes no further than the front. */
export const errandHeader = 'cistern-errand'

export const writeErrand = (errand: Errand): string => asciiJson(errand)

/** `undefined` for what no front sent. */
export function readErrand({ headers }: IncomingMessage): Errand | undefined {
  const text = headers[errandHeader]
  if (typeof text !== 'string') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Those of one connection, which the next one has its own of, and those of ours: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const notPassedOn = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'expect'],
  errandHeader,
])

const ofBodies = new Set(['content-length', 'transfer-encoding'])

/**
 * The headers of a request as they stood on the wire, but for those that are not passed on. A body is sent when it is
 * asked for: most are not wanted, and an answer may come before they do.
 */
export function passedOn(rawHeaders: readonly string[], { withBody }: { withBody: boolean }): string[] {
  const passed = withBody ? ['Expect', '100-continue'] : []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2)
    const known = name.toLowerCase()
    if (notPassedOn.has(known) || (!withBody && ofBodies.has(known))) continue
    passed.push(name, value)
  }
  return passed
}
