import type { SecureContextOptions } from 'node:tls'
import type { Told } from '../http/front/told.ts'
import type { Network } from '../http/trusted-proxies.ts'
import type { Counts } from '../inspection/tally.ts'
import type { Digest } from '../oci/digest.ts'
import type { Level } from '../telemetry/log.ts'
import type { Samples } from '../telemetry/samples.ts'

/** All that a front has to know. */
export type Beginning = {
  /** Its number. */
  front: number
  dataDir: string
  /** Where the owner answers. */
  socketPath: string
  logLevel: Level
  /** Whether clients prove who they are. */
  proves: boolean
  trustedProxies: readonly Network[]
  writeStallMs: number
  headersTimeoutMs: number
  /** Of prepared answers, in bytes. */
  preparedBytes: number
  /** Absent where it does not speak TLS. */
  certificate?: { context: SecureContextOptions; asksClients: boolean }
}

/** What the owner says to a front. */
export type ToFront =
  | { kind: 'begin'; beginning: Beginning; changes: number }
  /** Comes with the connection. */
  | { kind: 'connection'; connection: number }
  /** So many changes there were: what was remembered before the last one is wrong. Wants to be acknowledged. */
  | { kind: 'changes'; changes: number }
  | { kind: 'postscript'; requestId: string; told: Told }
  | { kind: 'certificate'; context: SecureContextOptions }
  /** Wants a report at once. */
  | { kind: 'report' }
  /** Takes no more clients, lets answers under way finish for `graceMs`, then ends. */
  | { kind: 'end'; graceMs: number }

/** What a front says to the owner. */
export type ToOwner =
  | { kind: 'here' }
  | { kind: 'serving' }
  | { kind: 'took'; connection: number }
  | { kind: 'gone'; connection: number }
  | { kind: 'acknowledged'; changes: number }
  /** What was given out lately. */
  | { kind: 'used'; digests: Digest[] }
  | { kind: 'report'; report: Report }
  | { kind: 'damaged'; digest: Digest; requestId: string }

export type Report = {
  /** By repository, since the report before. */
  counts: [repository: string, counts: Counts][]
  /** Since the front began. */
  samples: Samples
}
