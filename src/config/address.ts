import { BlockList, isIP, isIPv4 } from 'node:net'

/** Where a server listens. */
export type Address = { host: string; port: number }

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Reads `host:port`, an IPv6 host in brackets; `undefined` for anything else. Port 0 takes any free one. */
export function parseAddress(text: string): Address | undefined {
  const [, v6, name, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? []
  const host = v6 ?? name
  const port = Number(digits)
  return host === undefined || port > 65_535 || (v6 !== undefined && isIP(v6) !== 6) ? undefined : { host, port }
}

export const formatAddress = ({ host, port }: Address): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

export function isLoopback({ host }: Address): boolean {
  if (isIP(host) === 0) return host === 'localhost'
  return loopback.check(host, isIPv4(host) ? 'ipv4' : 'ipv6')
}

/** The addresses that have their first `bits` in common with `address`. */
export type Network = { address: string; bits: number }

/** Reads an address or `address/bits`; `undefined` for anything else, also for IPv4 within IPv6. */
export function parseNetwork(text: string): Network | undefined {
  const [, address = '', digits] = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text.trim()) ?? []
  const length = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  const bits = Number(digits ?? length)
  return length === 0 || bits > length || /:.*\./.test(address) ? undefined : { address, bits }
}

export const formatNetwork = ({ address, bits }: Network): string => `${address}/${bits}`
