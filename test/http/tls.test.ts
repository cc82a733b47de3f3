import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Certificate } from '../../src/http/certificate.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { startFace } from '../support/face.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { RawConnection } from '../support/raw-http.ts'

type Pair = ReturnType<typeof selfSigned>
type FaceOptions = Parameters<typeof startFace>[0]

const repository = 'docker.io/library/nginx'
const bytes = Buffer.alloc(1024 * 1024, 'x')

/** The data port with a certificate whose files can be replaced; `clientCa` is whom clients need a certificate of. */
async function startTls(options: FaceOptions & { pair?: Pair; clientCa?: string; keyMode?: number } = {}) {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-tls-')))
  const { pair = selfSigned(), clientCa, keyMode: mode = 0o600, ...rest } = options
  const files = { certFile: join(path, 'tls.crt'), keyFile: join(path, 'tls.key'), clientCaFile: join(path, 'ca.crt') }
  const replace = async ({ cert, key }: Partial<Pair>) => {
    if (cert !== undefined) await writeFile(files.certFile, cert)
    if (key !== undefined) await writeFile(files.keyFile, key, { mode })
  }
  await replace(pair)
  if (clientCa !== undefined) await writeFile(files.clientCaFile, clientCa)
  const { clientCaFile: _, ...withoutClients } = files
  const certificate = await Certificate.open(clientCa === undefined ? withoutClients : files)
  const face = starting.use(await startFace({ ...rest, certificate }))
  const parts = starting.move()
  return { face, pair, path, files, replace, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

const open = (port: number, { cert }: Pick<Pair, 'cert'>, more: ConnectionOptions = {}) =>
  new RawConnection(port, { ca: cert, ...more })

/** What becomes of a handshake: the protocol that was agreed on, or the code of the failure. */
function shake(port: number, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
    const end = (outcome: string) => {
      socket.destroy()
      resolve(outcome)
    }
    socket.on('secureConnect', () => socket.write('GET /v2/ HTTP/1.1\r\nHost: test\r\n\r\n'))
    socket.on('data', () => end(`${socket.getProtocol()} ${socket.getCipher().standardName}`))
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    socket.on('close', () => end('closed'))
  })
}

/** Whether a new connection that trusts nothing but `pair` gets an answer. */
async function serves(port: number, pair: Pair): Promise<boolean> {
  await using connection = open(port, pair)
  return await connection
    .get('/v2/')
    .response()
    .then(
      ({ status }) => status === 200,
      () => false,
    )
}

describe('a certificate', () => {
  it('replaced on disk is served within seconds, and what runs under the old one goes on', async () => {
    await using served = await startTls()
    const { face, pair } = served
    const half = Promise.withResolvers<void>()
    const digest = face.registry.addBlob(repository, bytes)
    face.registry.misbehaviour = async (send, whole) => {
      await send(whole.subarray(0, 100))
      await half.promise
      await send(whole.subarray(100))
    }
    await using download = open(face.port, pair)
    download.get(`/v2/${repository}/blobs/${digest}`)
    await using kept = open(face.port, pair)
    expect((await kept.get('/v2/').response()).status).toBe(200)

    const next = selfSigned()
    await served.replace(next)
    await expect.poll(() => serves(face.port, next), { timeout: 5000 }).toBe(true)

    expect(await serves(face.port, pair)).toBe(false)
    expect((await kept.get('/v2/').response()).status).toBe(200)
    half.resolve()
    expect((await download.response()).body.equals(bytes)).toBe(true)
    expect((await download.get('/v2/').response()).status).toBe(200)
    expect(face.faults).toEqual([])
  })

  it('replaced again and again costs no client an answer', async () => {
    await using served = await startTls()
    const { face, pair } = served
    const trusted = [pair.cert]
    const statuses: number[] = []
    let replacing = true
    const pulling = (async () => {
      while (replacing) {
        await using connection = new RawConnection(face.port, { ca: trusted })
        statuses.push((await connection.get('/v2/').response()).status)
      }
    })()
    for (let count = 0; count < 3; count++) {
      const next = selfSigned()
      trusted.push(next.cert)
      await served.replace(next)
      await expect.poll(() => serves(face.port, next), { timeout: 5000 }).toBe(true)
    }
    replacing = false
    await pulling
    expect(statuses.length).toBeGreaterThan(3)
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(face.requests.filter(({ route }) => route === 'handshake')).toEqual([])
  })

  it('is announced where it is served, with how long it is good', async () => {
    const seen: Events['cistern:certificate'][] = []
    const unsubscribe = subscribe('cistern:certificate', (event) => seen.push(event))
    await using served = await startTls()
    const { files } = served
    expect(seen).toMatchObject([{ file: files.certFile, replaced: false }])
    await served.replace(selfSigned())
    await expect.poll(() => seen.at(-1), { timeout: 5000 }).toMatchObject({ file: files.certFile, replaced: true })
    expect(seen.at(-1)?.expiresAt).toBeGreaterThan(Date.now())
    unsubscribe()
  })

  it('with a key that everybody can read is served, and a fault', async () => {
    await using served = await startTls({ keyMode: 0o644 })
    const { face, pair } = served
    expect(await serves(face.port, pair)).toBe(true)
    expect(face.faults).toMatchObject([{ where: 'http', message: expect.stringContaining('tls.key: every user') }])
  })

  it('without its key changes nothing, and is announced, until the key is there', async () => {
    await using served = await startTls()
    const { face, pair } = served
    const next = selfSigned()
    await served.replace({ cert: next.cert })
    await expect.poll(() => face.faults, { timeout: 5000 }).toMatchObject([{ where: 'http', kind: 'invalid' }])
    expect(await serves(face.port, pair)).toBe(true)
    await served.replace({ key: next.key })
    await expect.poll(() => serves(face.port, next), { timeout: 5000 }).toBe(true)
  })
})

describe('clients of an encrypted port', () => {
  it('need a certificate of the authority that is named, and none else will do', async () => {
    const [known, stranger] = [selfSigned(), selfSigned()]
    await using served = await startTls({ clientCa: known.cert })
    const { face, pair } = served
    await using right = new RawConnection(face.port, { ...known, ca: pair.cert })
    expect((await right.get('/v2/').response()).status).toBe(200)
    expect(await shake(face.port, {})).toBe('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')
    expect(await shake(face.port, { maxVersion: 'TLSv1.2' })).toBe('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE')
    expect(await shake(face.port, stranger)).toMatch(/^(closed|ECONNRESET)$/)
    const refused = () => face.requests.filter(({ route }) => route === 'handshake')
    await expect.poll(() => refused().length).toBe(3)
    expect(refused().map(({ error }) => (error as { code: string }).code)).toEqual([
      'SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
      'SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
    ])
    expect(new Set(refused().map(({ client }) => client))).toEqual(new Set(['127.0.0.1']))
  })

  it('are held to a new authority once its file is replaced', async () => {
    const [known, later] = [selfSigned(), selfSigned()]
    await using served = await startTls({ clientCa: known.cert })
    const { face, pair, files } = served
    await writeFile(files.clientCaFile, later.cert)
    const statusOf = async (own: Pair) => {
      await using connection = new RawConnection(face.port, { ...own, ca: pair.cert })
      return await connection
        .get('/v2/')
        .response()
        .then(
          ({ status }) => status,
          () => undefined,
        )
    }
    await expect.poll(() => statusOf(later), { timeout: 5000 }).toBe(200)
    expect(await statusOf(known)).toBe(undefined)
  })

  it('do not get in by a session that an authority of before had let them', async () => {
    const [known, later] = [selfSigned(), selfSigned()]
    await using served = await startTls({ clientCa: known.cert })
    const { face, pair, files } = served
    const session = await new Promise<Buffer>((resolve) => {
      const socket = connectTls({ port: face.port, host: '127.0.0.1', ca: pair.cert, ...known })
      socket.on('session', resolve)
      onTestFinished(() => void socket.destroy())
    })
    expect(await shake(face.port, { ...known, session })).toContain('TLSv1.3')
    await writeFile(files.clientCaFile, later.cert)
    await expect.poll(() => shake(face.port, later), { timeout: 5000 }).toContain('TLSv1.3')
    expect(await shake(face.port, { ...known, session })).toMatch(/^(closed|ECONNRESET)$/)
    expect(await shake(face.port, { session })).toBe('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')
  })

  it('that speak plain HTTP are closed, and stand in the log', async () => {
    await using served = await startTls()
    const { face } = served
    await using plain = new RawConnection(face.port)
    await expect(plain.get('/v2/').response()).rejects.toThrow(/without an answer/)
    await expect.poll(() => face.requests).toMatchObject([{ route: 'handshake', status: 400, client: '127.0.0.1' }])
  })

  it('that never finish their handshake are closed in time, and keep nobody from closing', async () => {
    await using hasty = await startTls({ headersTimeoutMs: 100 })
    await using silent = new RawConnection(hasty.face.port)
    await silent.rest()

    await using patient = await startTls({ headersTimeoutMs: 60_000 })
    const socket = connectTcp(patient.face.port, '127.0.0.1')
    socket.on('error', () => {})
    await expect.poll(() => socket.readyState).toBe('open')
    await serves(patient.face.port, patient.pair) // so the port has taken the one before, too
    await patient.face.listener.close(10)
  })

  it('are held to the same bounds as those of a plain one', async () => {
    await using served = await startTls({ headersTimeoutMs: 200, writeStallMs: 100 })
    const { face, pair } = served
    await using twisted = open(face.port, pair)
    expect((await twisted.get('/v2/../etc/passwd').response()).status).toBe(400)
    await using slow = open(face.port, pair)
    slow.send('GET /v2/ HTTP/1.1\r\nHost:')
    expect((await slow.response()).status).toBe(408)

    const digest = face.registry.addBlob(repository, Buffer.alloc(32 * 1024 * 1024))
    await using stalled = open(face.port, pair)
    stalled.get(`/v2/${repository}/blobs/${digest}`)
    stalled.socket.pause()
    await expect.poll(() => face.requests.at(-1), { timeout: 10_000 }).toMatchObject({ route: 'blob', aborted: true })
    expect(face.registry.open).toBe(0)
  })

  it('beyond the most of one client are closed, and others go on', async () => {
    await using served = await startTls({ maxConnectionsPerClient: 1 })
    const { face, pair } = served
    await using first = open(face.port, pair)
    expect((await first.get('/v2/').response()).status).toBe(200)
    expect(await serves(face.port, pair)).toBe(false)
    expect((await first.get('/v2/').response()).status).toBe(200)
    first.socket.destroy()
    await expect.poll(() => serves(face.port, pair)).toBe(true)
  })

  it('in the midst of handshakes hold up nobody, and count among connections', async () => {
    await using served = await startTls({ headersTimeoutMs: 60_000, maxConnections: 21 })
    const { face, pair } = served
    const hello = Buffer.from('16030100ff', 'hex') // the head of a record, and nothing of what it announces
    const slow = Array.from({ length: 20 }, () => connectTcp(face.port, '127.0.0.1').on('error', () => {}))
    await Promise.all(slow.map((socket) => new Promise<void>((sent) => socket.write(hello, () => sent()))))
    await using last = open(face.port, pair)
    expect((await last.get('/v2/').response()).status).toBe(200)
    expect(await serves(face.port, pair)).toBe(false)
    expect(face.faults.at(-1)).toMatchObject({ kind: 'throttled' })
    for (const socket of slow) socket.destroy()
    await expect.poll(() => serves(face.port, pair)).toBe(true)
  })

  it('cannot shake hands again on a connection', async () => {
    await using served = await startTls()
    const { face, pair } = served
    const socket = connectTls({ port: face.port, host: '127.0.0.1', ca: pair.cert, maxVersion: 'TLSv1.2' })
    await new Promise((secure) => socket.once('secureConnect', secure))
    const refused = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      socket.once('error', resolve)
      socket.renegotiate({}, resolve)
    })
    expect(refused?.code).toBe('ERR_SSL_NO_RENEGOTIATION')
    socket.destroy()
    expect(await serves(face.port, pair)).toBe(true)
  })

  it('agree on HTTP/1.1, with forward secrecy and authenticated encryption, or on nothing', async () => {
    await using served = await startTls()
    const { port } = served.face
    const tls12 = (ciphers: string) => shake(port, { maxVersion: 'TLSv1.2', minVersion: 'TLSv1', ciphers })
    expect(await tls12('ECDHE-ECDSA-AES128-GCM-SHA256')).toBe('TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256')
    expect(await tls12('ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0')).toBe('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE')
    const [h2, http1] = [['h2'], ['h2', 'http/1.1']].map((ALPNProtocols) => shake(port, { ALPNProtocols }))
    expect(await h2).toBe('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
    expect(await http1).toContain('TLSv1.3')
  })

  it('get HTTP/1.1 by TLS 1.2 or later', async () => {
    await using served = await startTls()
    const { face, pair } = served
    const [status, protocol] = await new Promise<[number | undefined, string | null]>((resolve, reject) => {
      const asking = get(`${face.url}/v2/`, { ca: pair.cert, agent: false }, (response) => {
        response.resume()
        resolve([response.statusCode, (response.socket as TLSSocket).getProtocol()])
      })
      asking.on('error', reject)
    })
    expect([status, protocol]).toEqual([200, 'TLSv1.3'])
    await using old = open(face.port, pair, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })
    await expect(old.get('/v2/').response()).rejects.toThrow(/without an answer/)
  })
})
