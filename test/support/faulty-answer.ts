import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { parseRange, resolveRange } from '../../src/oci/range.ts'
import { type Blob, blobOf } from './faulty-content.ts'
import type { Fault, Seen } from './faulty-fault.ts'

/** An answer as a sane registry would give it. */
export type Answer = { status: number; headers?: Record<string, string>; content?: Blob }

const piece = 64 * 1024

export const text = (status: number, body: string, headers: Record<string, string> = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  content: blobOf(body),
})

export const failure = (status: number, code: string, headers?: Record<string, string>): Answer =>
  text(status, JSON.stringify({ errors: [{ code, message: 'made by the test upstream' }] }), headers)

/** Sends `answer` with what `fault` does to it. */
export async function give(response: ServerResponse, seen: Seen, answer: Answer, fault: Fault): Promise<void> {
  const socket = response.socket
  if (fault.delayMs) await delay(fault.delayMs)
  if (fault.until) await fault.until.catch(() => {})
  if (fault.hang) return
  if (fault.reset) return void socket?.resetAndDestroy()
  if (fault.raw !== undefined) return void socket?.end(fault.raw)

  const { status, headers, content, offset } = ranged(seen, replaced(answer, seen, fault), fault)
  const framing = fault.framing ?? 'length'
  if (framing === 'length') headers['content-length'] = String(content.size - offset.start - offset.cut)
  for (const [name, value] of Object.entries(fault.headers ?? {})) {
    if (value === null) delete headers[name]
    else headers[name] = value
  }
  if (framing === 'close') {
    response.shouldKeepAlive = false
    response.removeHeader('transfer-encoding')
  }
  seen.status = status
  response.writeHead(status, headers)
  if (seen.method === 'HEAD') response.end()
  else await sendBody(response, seen, content, offset.start, content.size - offset.cut, fault)
  if (fault.unsolicited !== undefined) socket?.write(fault.unsolicited)
}

function replaced(answer: Answer, seen: Seen, fault: Fault): Answer {
  if (fault.redirect !== undefined) {
    const location = typeof fault.redirect === 'string' ? fault.redirect : fault.redirect(seen)
    return { status: fault.status ?? 307, headers: { location } }
  }
  if (fault.status === undefined && fault.body === undefined) return answer
  const status = fault.status ?? answer.status
  if (fault.body === undefined) return failure(status, 'MADE_BY_TEST')
  return { status, headers: { ...answer.headers }, content: blobOf(fault.body) }
}

function ranged(seen: Seen, answer: Answer, fault: Fault) {
  const content = answer.content ?? blobOf('')
  const headers: Record<string, string> = { ...answer.headers }
  const whole = { status: answer.status, headers, content, offset: { start: 0, cut: 0 } }
  const spec = parseRange(seen.headers.range)
  const rangeable = seen.kind === 'blob' || seen.kind === 'signed'
  if (!spec || !rangeable || answer.status !== 200 || fault.ignoreRange) return whole
  try {
    const range = resolveRange(spec, content.size)
    const declared =
      fault.contentRange === undefined ? `bytes ${range.start}-${range.end}/${content.size}` : fault.contentRange
    if (declared !== null) headers['content-range'] = declared
    return { ...whole, status: 206, offset: { start: range.start, cut: content.size - 1 - range.end } }
  } catch {
    return { ...whole, status: 416, headers: { 'content-range': `bytes */${content.size}` }, content: blobOf('') }
  }
}

async function sendBody(response: ServerResponse, seen: Seen, content: Blob, from: number, to: number, fault: Fault) {
  response.flushHeaders() // also where the first stop is before the first byte
  const stops = [fault.resetAfter, fault.endAfter, fault.stallAfter, fault.pauseAfter].filter((at) => at !== undefined)
  let paused = false
  while (from + seen.sent < to) {
    const open = stops.filter((at) => at > seen.sent || (at === seen.sent && !(paused && at === fault.pauseAfter)))
    const room = Math.min(...open.map((at) => at - seen.sent), fault.dripBytes ?? piece, to - from - seen.sent)
    if (room > 0) {
      if (!(await write(response, damaged(content, from + seen.sent, room, fault)))) return
      seen.sent += room
      if (fault.dripMs) await delay(fault.dripMs)
    }
    if (seen.sent === fault.resetAfter) return void setImmediate(() => response.socket?.resetAndDestroy())
    if (seen.sent === fault.endAfter) return void response.socket?.end()
    if (seen.sent === fault.stallAfter) return
    if (seen.sent === fault.pauseAfter && !paused) {
      paused = true
      await fault.resume?.catch(() => {})
    }
  }
  if (fault.surplus) await write(response, Buffer.alloc(fault.surplus, 'surplus '))
  response.end()
}

/** Whether the other side still takes bytes. */
async function write(response: ServerResponse, chunk: Uint8Array): Promise<boolean> {
  if (response.destroyed) return false
  if (!response.write(chunk)) {
    await new Promise<void>((resolve) => {
      const go = () => {
        response.off('drain', go).off('close', go)
        resolve()
      }
      response.on('drain', go).on('close', go)
    })
  }
  return !response.destroyed
}

function damaged(content: Blob, at: number, length: number, fault: Fault): Buffer {
  const chunk = content.slice(at, at + length)
  if (fault.corruptAt === undefined || fault.corruptAt < at || fault.corruptAt >= at + length) return chunk
  const copy = Buffer.from(chunk)
  copy[fault.corruptAt - at] = (copy[fault.corruptAt - at] ?? 0) ^ 0xff
  return copy
}
