import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** What one raw connection got so far. */
type Member = { socket: Socket; received: string; closed: boolean }

/** Many raw connections from one address of loopback. */
export class Crowd implements AsyncDisposable {
  readonly members: Member[]

  private constructor(members: Member[]) {
    this.members = members
  }

  /** Resolves once all are connected. */
  static async gather(url: string, count: number, from: string): Promise<Crowd> {
    const { hostname: host, port } = new URL(url)
    const members = await Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connect({ host, port: Number(port), localAddress: from })
        const member: Member = { socket, received: '', closed: false }
        socket
          .on('error', () => {})
          .on('close', () => {
            member.closed = true
          })
        await once(socket, 'connect')
        return member
      }),
    )
    return new Crowd(members)
  }

  /** Takes in what is sent to them, up to `limit` characters each, and sees their connections end. */
  listen(limit = 1000): this {
    for (const member of this.members) {
      member.socket.on('data', (chunk: Buffer) => {
        if (member.received.length < limit) member.received += chunk.toString('latin1')
      })
    }
    return this
  }

  /** Each says `text`, or what it makes of its number. */
  say(text: string | ((number: number) => string)): this {
    for (const [number, { socket }] of this.members.entries())
      socket.write(typeof text === 'string' ? text : text(number))
    return this
  }

  get closed(): number {
    return this.members.filter(({ closed }) => closed).length
  }

  /** How many were answered with a status, by status. */
  get statuses(): Record<string, number> {
    const told = this.members.map(({ received }) => /^HTTP\/1\.1 (\d{3})/.exec(received)?.[1] ?? 'none')
    return Object.fromEntries(
      Object.entries(Object.groupBy(told, (status) => status)).map(([status, all]) => [status, all?.length ?? 0]),
    )
  }

  leave(): void {
    for (const { socket } of this.members) socket.resetAndDestroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.members) socket.destroy()
  }
}

/** A whole request, as bytes. */
export const getting = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`
