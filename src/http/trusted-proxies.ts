import type { IncomingMessage } from 'node:http'
import { BlockList, isIP, isIPv4, SocketAddress } from 'node:net'
import { TLSSocket } from 'node:tls'
import { addressOf } from '../access/client-limits.ts'

/** The addresses that have their first `bits` in common with `address`. */
export type Network = { readonly address: string; readonly bits: number }

/** Who a request comes from. */
export type Sender = {
  /** An address, as it is written in one way only. */
  readonly client: string
  /** Whether it came to the outermost proxy by TLS, and from there on. */
  readonly secure: boolean
  /** What the request is called in the log; absent, it gets a name of its own. */
  readonly requestId?: string
}

/**
 * Proxies whose word counts for whom they ask. Each one appends to `X-Forwarded-For` who asked it: so this is read from
 * its end, and the first address that is no trusted proxy is the client. What stands before that is anybody's word.
 */
export class TrustedProxies {
  readonly #networks = new BlockList()

  constructor(networks: readonly Network[]) {
    for (const { address, bits } of networks) this.#networks.addSubnet(address, bits, familyOf(address))
  }

  has(address: string | undefined): boolean {
    const known = addressOf(address)
    return isIP(known) !== 0 && this.#networks.check(known, familyOf(known))
  }

  /** Of the client's own connection a trusted proxy alone can tell. */
  senderOf({ socket, headers }: IncomingMessage): Sender {
    const peer = addressOf(socket.remoteAddress)
    if (!this.has(peer)) return { client: peer, secure: socket instanceof TLSSocket }
    const schemes = entriesOf(headers['x-forwarded-proto'])
    return {
      client: this.#clientOf(peer, entriesOf(headers['x-forwarded-for'])),
      secure: schemes.length > 0 && schemes.every((scheme) => scheme.toLowerCase() === 'https'),
    }
  }

  /** Behind what is no address it cannot be told who asked: then the last proxy stands for whoever that is. */
  #clientOf(peer: string, hops: string[]): string {
    let client = peer
    for (const hop of hops.reverse()) {
      const address = parseHop(hop)
      if (address === undefined) return client
      client = address
      if (!this.has(client)) return client
    }
    return client
  }
}

const familyOf = (address: string) => (isIPv4(address) ? 'ipv4' : 'ipv6')

/** The entries of a list: https://www.rfc-editor.org/rfc/rfc9110.html#name-lists-rule-abnf-extension */
function entriesOf(header: string | string[] | undefined): string[] {
  const entries = String(header ?? '').split(',')
  return entries.map((entry) => entry.trim()).filter((entry) => entry !== '')
}

/** Reads an address; some proxies add a port to it. */
function parseHop(text: string): string | undefined {
  const [, v4, v6] = /^(?:([\d.]+)(?::\d{1,5})?|\[([^\]]+)\](?::\d{1,5})?)$/.exec(text) ?? []
  const address = v4 ?? v6 ?? text
  if (isIP(address) === 0) return undefined
  return addressOf(new SocketAddress({ address, family: familyOf(address) }).address)
}
