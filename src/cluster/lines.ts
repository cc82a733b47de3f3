import type { Readable, Writable } from 'node:stream'

/** A reader of the log that stalls costs lines, not memory. In bytes. */
const maxBuffered = 8 * 1024 * 1024

const newline = 10

/** Passes on what comes by whole lines, so that those of several processes stand beside each other. */
export function passLines(from: Readable, to: Writable): void {
  let rest: Buffer[] = []
  from.on('data', (chunk: Buffer) => {
    const end = chunk.lastIndexOf(newline) + 1
    if (end > 0 && to.writableLength < maxBuffered) {
      to.write(rest.length === 0 ? chunk.subarray(0, end) : Buffer.concat([...rest, chunk.subarray(0, end)]))
    }
    if (end > 0) rest = []
    if (end < chunk.length) rest.push(chunk.subarray(end))
  })
}
