import { type LookupAddress, lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { unavailable } from '../oci/errors.ts'

/**
 * Whether an address belongs to the public internet. Those that wrap an IPv4 address (v4-mapped, NAT64) are judged by
 * the address inside.
 */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false
  const address = ipaddr.process(text)
  if (address instanceof ipaddr.IPv6 && address.range() === 'rfc6052') {
    return new ipaddr.IPv4(address.toByteArray().slice(12)).range() === 'unicast'
  }
  return address.range() === 'unicast'
}

/** Whether an origin is HTTPS to a public address, or to a name, whose addresses are looked at when they are known. */
export function isPublicOrigin(origin: string): boolean {
  const { protocol, hostname } = new URL(origin)
  const literal = hostname.replace(/^\[(.*)\]$/, '$1')
  return protocol === 'https:' && (isIP(literal) === 0 || isPublicAddress(literal))
}

/** Throws `unavailable` where the host is written as an address that is not public. Names pass: they are not known yet. */
export function assertPublicLiteral(hostname: string): void {
  const literal = hostname.replace(/^\[(.*)\]$/, '$1')
  if (isIP(literal) !== 0 && !isPublicAddress(literal)) throw notPublic(literal)
}

/** Looks a name up like `dns.lookup`, and gives its public addresses only: what is checked is what is connected to. */
export const lookUpPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, found: LookupAddress[] = []) => {
    if (error) return callback(error, '')
    const [first, ...rest] = found.filter(({ address }) => isPublicAddress(address))
    if (!first) return callback(notPublic(hostname), '')
    if (options.all) callback(null, [first, ...rest])
    else callback(null, first.address, first.family)
  })
}

const notPublic = (host: string) =>
  unavailable('upstream leads to an address that is not public', { cause: new Error(host) })
