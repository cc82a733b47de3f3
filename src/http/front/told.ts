import type { IncomingMessage } from 'node:http'
import type { Outcome } from '../../oci/registry.ts'
import { DescribedError, describeError, type ErrorDescription } from '../../telemetry/describe-error.ts'
import type { Exchange, Facts } from '../exchange.ts'
import type { Answer, StoredPart } from '../oci/respond.ts'
import { asciiJson } from './ascii-json.ts'

/** What the owner says of an answer besides the answer: for the log line, and for whether it may be given again. */
export type Told = {
  facts: Pick<Facts, 'route' | 'repository' | 'reference' | 'upstream'>
  outcome?: Omit<Outcome, 'ttlMs'> & { ttlMs?: Lasting }
  error?: ErrorDescription
  principal?: string
  permit?: { until: Lasting; principal: string }
  /** What was counted of changes when the answer began to be worked out. */
  changes: number
  repeatableMs: Lasting
  /** What to read from the store in place of the body. */
  stored?: StoredPart
}

/** Milliseconds, for JSON, which knows of no infinity: `null` is for ever. */
type Lasting = number | null

/** Of an answer of the owner. */
export const toldHeader = 'cistern-told'

export const writeTold = (told: Told): string => asciiJson(told)

export function readTold({ headers }: IncomingMessage): Told | undefined {
  const text = headers[toldHeader]
  return typeof text === 'string' ? JSON.parse(text) : undefined
}

const lasting = (ms: number): Lasting => (Number.isFinite(ms) ? ms : null)

export const milliseconds = (ms: Lasting): number => ms ?? Number.POSITIVE_INFINITY

/** What there is to tell of an exchange so far. */
export function toldOf(exchange: Exchange, changes: number, { repeatableMs = 0, stored }: Partial<Answer> = {}): Told {
  const { facts, principal, permit } = exchange
  const { route, repository, reference, upstream, outcome, error } = facts
  const { ttlMs, ...came } = outcome ?? {}
  return {
    facts: {
      route,
      ...(repository !== undefined && { repository }),
      ...(reference !== undefined && { reference }),
      ...(upstream !== undefined && { upstream }),
    },
    ...('cache' in came && { outcome: { ...came, ...(ttlMs !== undefined && { ttlMs: lasting(ttlMs) }) } }),
    ...(error !== undefined && { error: describeError(error) }),
    ...(principal && { principal: principal.name }),
    ...(permit && { permit: { until: lasting(permit.until), principal: permit.principal } }),
    changes,
    repeatableMs: lasting(repeatableMs),
    ...(stored && { stored }),
  }
}

/** Has an exchange of a front say what the owner's says. */
export function takeOver(exchange: Exchange, told: Told): void {
  const { facts, outcome, error, principal, permit, changes } = told
  Object.assign(exchange.facts, facts)
  if (outcome) {
    const { ttlMs, ...came } = outcome
    exchange.facts.outcome = { ...came, ...(ttlMs !== undefined && { ttlMs: milliseconds(ttlMs) }) }
  }
  if (error) exchange.facts.error = new DescribedError(error)
  if (principal !== undefined) exchange.principal = { name: principal }
  if (permit) exchange.permit = { until: milliseconds(permit.until), principal: permit.principal }
  exchange.changes = changes
}
