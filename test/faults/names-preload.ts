// Loaded into a Cistern under test before anything else: its names come from a file instead of the system's resolver.
import dns, { type LookupAddress } from 'node:dns'
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { isIP } from 'node:net'

type Done = (error: Error | null, address?: string | LookupAddress[], family?: number) => void

function lookup(hostname: string, options: { all?: boolean }, done: Done): void {
  const table = JSON.parse(readFileSync(process.env.TEST_NAMES ?? '', 'utf8')) as Record<string, string[]>
  const known = isIP(hostname) === 0 ? (table[hostname] ?? []) : [hostname]
  const found = known.map((address) => ({ address, family: isIP(address) }))
  const [first] = found
  process.nextTick(() => {
    if (!first) done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND', hostname }))
    else if (options.all) done(null, found)
    else done(null, first.address, first.family)
  })
}

Object.assign(dns, { lookup })
syncBuiltinESMExports()
