import { isUserName } from './principal.ts'

export type Htpasswd = {
  /** bcrypt hashes by user. */
  readonly users: ReadonlyMap<string, string>
  /** Of the same cost as the dearest of them, and the hash of no password: what unknown users are compared with. */
  readonly decoy: string
  /** Lines that let nobody in, by number, each with its reason. */
  readonly faults: readonly string[]
}

/** One check of this cost takes about a second; each step above it doubles that. */
const maxCost = 14
const usualCost = 10

/** Reads what `htpasswd -B` writes. A line that cannot be used is left out: the others' users still get in. */
export function parseHtpasswd(text: string): Htpasswd {
  const users = new Map<string, string>()
  const faults: string[] = []
  let dearest = 0
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.trim()
    if (entry === '' || entry.startsWith('#')) continue
    const [username = '', hash = ''] = entry.split(':')
    const cost = costOf(hash)
    const fault = faultOf(username, cost, users)
    if (fault === undefined) users.set(username, hash)
    else faults.push(`line ${index + 1}: ${fault}`)
    if (fault === undefined) dearest = Math.max(dearest, cost ?? 0)
  }
  const cost = String(dearest || usualCost).padStart(2, '0')
  return { users, decoy: `$2b$${cost}$${'.'.repeat(53)}`, faults }
}

function faultOf(username: string, cost: number | undefined, users: ReadonlyMap<string, string>): string | undefined {
  if (!isUserName(username)) return 'the user is not 1 to 64 letters, digits and _+=,.@-'
  if (cost === undefined) return 'not a bcrypt hash (htpasswd -B)'
  if (cost > maxCost) return `the cost is above ${maxCost}`
  return users.has(username) ? 'the user is there already' : undefined
}

function costOf(hash: string): number | undefined {
  const cost = /^\$2[aby]\$(\d\d)\$[./0-9a-z]{53}$/i.exec(hash)?.[1]
  return cost === undefined || Number(cost) < 4 ? undefined : Number(cost)
}
