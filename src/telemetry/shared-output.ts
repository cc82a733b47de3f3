import { fstatSync, writeSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { type Destination, gatherMs, maxBuffered, standardOutput } from './log.ts'

/** What a pipe takes whole or not at all, in bytes: https://man7.org/linux/man-pages/man7/pipe.7.html */
const wholeSize = 4096

/** A shorter line is so in bytes as well, whatever its characters. */
const surelyWhole = wholeSize / 4

/** Standard output where other processes write to the same: no line of one stands inside a line of another. */
export function sharedOutput(): Destination {
  return fstatSync(1).isFile() ? standardOutput() : inPieces(process.stdout)
}

/** Gathers lines for a moment, and writes them in pieces that the system takes whole, one after the other. */
export function inPieces(out: Writable): Destination {
  out.on('error', () => {}) // whoever read the log is gone; that is no reason to stop serving
  let lines: string[] = []
  let length = 0
  let writing = false
  const next = () => {
    writing = lines.length > 0
    if (writing) out.write(take(), next)
  }
  const take = (): string => {
    let count = 1
    let size = Buffer.byteLength(lines[0] ?? '')
    for (; count < lines.length; count++) {
      size += Buffer.byteLength(lines[count] ?? '')
      if (size > wholeSize) break
    }
    const piece = lines.splice(0, count).join('')
    length -= piece.length
    return piece
  }
  process.on('exit', () => {
    try {
      while (lines.length > 0) writeSync(1, take())
    } catch {} // nobody reads
  })
  return {
    write(line) {
      if (length > maxBuffered) {
        lines = []
        length = 0
      }
      const whole = fitted(line)
      lines.push(whole)
      length += whole.length
      if (!writing) setTimeout(next, gatherMs)
      writing = true
    },
  }
}

/** A line that has no room gives up what of its texts is too long. */
function fitted(line: string): string {
  if (line.length <= surelyWhole) return line
  let fitting = line
  for (let longest = 512; longest >= 8 && Buffer.byteLength(fitting) > wholeSize; longest /= 4) {
    const cut = (_: string, value: unknown) => (typeof value === 'string' ? value.slice(0, longest) : value)
    fitting = `${JSON.stringify(JSON.parse(line), cut)}\n`
  }
  return fitting
}
