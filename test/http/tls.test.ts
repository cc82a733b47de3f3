import { mkdir, mkdtempDisposable, rename, symlink, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { Certificate } from '../../src/http/tls.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { startFace } from '../support/face.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { RawConnection } from '../support/raw-http.ts'

type Pair = ReturnType<typeof selfSigned>
type FaceOptions = Parameters<typeof startFace>[0]

const repository = 'docker.io/library/nginx'
const bytes = Buffer.alloc(1024 * 1024, 'x')

/** The data port with a certificate whose files can be replaced; `clientCa` is whom clients need a certificate of. */
async function startTls(options: FaceOptions & { pair?: Pair; clientCa?: string } = {}) {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-tls-')))
  const { pair = selfSigned(), clientCa, ...rest } = options
  const files = { certFile: join(path, 'tls.crt'), keyFile: join(path, 'tls.key'), clientCaFile: join(path, 'ca.crt') }
  const replace = async ({ cert, key }: Partial<Pair>) => {
    if (cert !== undefined) await writeFile(files.certFile, cert)
    if (key !== undefined) await writeFile(files.keyFile, key)
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

  it('is found where links lead elsewhere, as Kubernetes replaces secrets', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-tls-'))
    const { path } = directory
    const [before, after] = [selfSigned(), selfSigned()]
    for (const [name, { cert, key }] of Object.entries({ before, after })) {
      await mkdir(join(path, name))
      await writeFile(join(path, name, 'tls.crt'), cert)
      await writeFile(join(path, name, 'tls.key'), key)
    }
    await symlink('before', join(path, '..data'))
    for (const name of ['tls.crt', 'tls.key']) await symlink(join('..data', name), join(path, name))
    const certificate = await Certificate.open({ certFile: join(path, 'tls.crt'), keyFile: join(path, 'tls.key') })
    expect(await certificate.look()).toBe(false)

    await symlink('after', join(path, '..data_tmp'))
    await rename(join(path, '..data_tmp'), join(path, '..data'))

    expect(await certificate.look()).toBe(true)
    expect(certificate.material).toEqual(after)
    expect(await certificate.look()).toBe(false)
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

  it.each<[string, (next: Pair) => Partial<Pair>]>([
    ['without its key', ({ cert }) => ({ cert })],
    ['cut off', ({ cert, key }) => ({ cert: cert.slice(0, 300), key })],
    ['empty', ({ key }) => ({ cert: '', key })],
    ['with a key cut off', ({ cert, key }) => ({ cert, key: key.slice(0, 100) })],
    ['that is none', ({ key }) => ({ cert: key, key })],
  ])('%s changes nothing, is announced once, and gives way to a right one', async (_, broken) => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-tls-'))
    const files = { certFile: join(directory.path, 'tls.crt'), keyFile: join(directory.path, 'tls.key') }
    const replace = ({ cert, key }: Partial<Pair>) =>
      Promise.all([
        cert !== undefined && writeFile(files.certFile, cert),
        key !== undefined && writeFile(files.keyFile, key),
      ])
    const [pair, next] = [selfSigned(), selfSigned()]
    await replace(pair)
    const certificate = await Certificate.open(files)
    const faults: Events['cistern:fault'][] = []
    const unsubscribe = subscribe('cistern:fault', (event) => faults.push(event))

    await replace(broken(next))
    expect(await certificate.look()).toBe(false)
    expect(faults).toEqual([])
    for (let looks = 0; looks < 3; looks++) expect(await certificate.look()).toBe(false)
    unsubscribe()
    expect(certificate.material).toEqual(pair)
    expect(faults).toHaveLength(1)
    expect(JSON.stringify(faults)).not.toContain('PRIVATE')

    await replace(next)
    expect(await certificate.look()).toBe(true)
    expect(certificate.material).toEqual(next)
  })

  it('that cannot be served is refused at the start, by the name of its file', async () => {
    await using served = await startTls()
    const { files, path } = served
    const certificateOf = (more: object) => Certificate.open({ ...files, ...more })
    await expect(certificateOf({ keyFile: join(path, 'none') })).rejects.toThrow(/none: cannot be read \(ENOENT\)/)
    await expect(certificateOf({})).rejects.toThrow(/ca\.crt: cannot be read/)
    await writeFile(files.clientCaFile, 'nothing')
    await expect(certificateOf({})).rejects.toThrow(/ca\.crt: is no PEM/)
  })
})

describe('clients of an encrypted port', () => {
  it('need a certificate of the authority that is named, and none else will do', async () => {
    const [known, stranger] = [selfSigned(), selfSigned()]
    await using served = await startTls({ clientCa: known.cert })
    const { face, pair } = served
    await using right = new RawConnection(face.port, { ...known, ca: pair.cert })
    expect((await right.get('/v2/').response()).status).toBe(200)
    await using without = open(face.port, pair)
    await expect(without.get('/v2/').response()).rejects.toThrow(/without an answer, after 0 bytes/)
    await using other = new RawConnection(face.port, { ...stranger, ca: pair.cert })
    await expect(other.get('/v2/').response()).rejects.toThrow(/without an answer, after 0 bytes/)
    await expect.poll(() => face.requests.filter(({ route }) => route === 'handshake').length).toBe(2)
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
