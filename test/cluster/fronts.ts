import { readdir, readFile, readlink } from 'node:fs/promises'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, startUpstream } from '../support/faulty-upstream.ts'
import { RawConnection } from '../support/raw-http.ts'

export type Cluster = AsyncDisposable & { upstream: FaultyUpstream; cistern: CisternProcess; at: string }

/** One Cistern with two workers, in front of one upstream, whose repositories are at `at`; below `brief` tags are soon old. */
export async function startCluster(config: Record<string, unknown> = {}): Promise<Cluster> {
  await using starting = new AsyncDisposableStack()
  const upstream = starting.use(await startUpstream())
  const rules = [
    { prefix: 'a', upstream: upstream.url },
    { prefix: 'brief', upstream: upstream.url, tagTtl: '300ms' },
  ]
  const cistern = starting.use(await startCistern({ rules, config: { workers: 2, ...config } }))
  const parts = starting.move()
  return { upstream, cistern, at: `${cistern.url}/v2/a`, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

/** The processes that serve clients. */
export async function frontsOf({ pid }: Pick<CisternProcess, 'pid'>): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return children.split(' ').filter(Boolean).map(Number)
}

/** A connection that stays open, and the process that has its other end. */
export type Held = { connection: RawConnection; front: number }

/** Holds a connection to each of the processes that serve clients. The caller closes them. */
export async function holdEach(cistern: CisternProcess): Promise<Held[]> {
  const held: Held[] = []
  await eventually(async () => {
    const connection = new RawConnection(Number(new URL(cistern.url).port))
    const front = await frontOf(cistern, connection)
    if (held.some((other) => other.front === front)) await connection[Symbol.asyncDispose]()
    else held.push({ connection, front })
    if (held.length < 2) throw new Error('all connections are one front')
  })
  return held
}

/** Which process has the other end of a connection. */
async function frontOf(cistern: CisternProcess, connection: RawConnection): Promise<number> {
  await connection.get('/v2/').response()
  const { localPort = 0, remotePort = 0 } = connection.socket
  const port = (number: number) => number.toString(16).toUpperCase().padStart(4, '0')
  const entry = new RegExp(`^ *\\d+: \\w+:${port(remotePort)} \\w+:${port(localPort)} (?:\\S+ +){6}(\\d+) `, 'm')
  const inode = entry.exec(await readFile('/proc/net/tcp', 'utf8'))?.[1]
  for (const pid of await frontsOf(cistern)) {
    const descriptors = await readdir(`/proc/${pid}/fd`)
    const links = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
    if (links.includes(`socket:[${inode}]`)) return pid
  }
  throw new Error('no front has the connection')
}

/** What the fronts answer to one request each, on connections that are open. */
export const askEach = (held: readonly Held[], path: string, ...headers: string[]) =>
  Promise.all(held.map(({ connection }) => connection.get(path, ...headers).response()))

export async function letGo(held: readonly Held[]): Promise<void> {
  for (const { connection } of held) await connection[Symbol.asyncDispose]()
}

export const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
