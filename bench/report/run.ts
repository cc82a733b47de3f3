import type { Row } from '../finding.ts'
import type { Machine } from '../machine.ts'

/** All that a report is made of. */
export type Run = {
  date: string
  command: string
  scale: string
  generator: string
  seconds: number
  machine: Machine
  rows: Row[]
}
