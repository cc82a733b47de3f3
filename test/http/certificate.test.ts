import { generateKeyPairSync } from 'node:crypto'
import { chmod, mkdir, mkdtempDisposable, rename, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Certificate } from '../../src/http/certificate.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { selfSigned } from '../support/faulty-certificate.ts'

type Pair = ReturnType<typeof selfSigned>

const [pair, next, other] = [selfSigned(), selfSigned(), selfSigned()]
const rsaKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const pem = { format: 'pem', type: 'pkcs8' } as const
const encrypted = rsaKey.export({ ...pem, cipher: 'aes-128-cbc', passphrase: 'secret' }).toString()

/** A directory with a certificate, its key and an authority. */
async function filesOf({ cert, key }: Pair) {
  const { path, remove } = await mkdtempDisposable(join(tmpdir(), 'cistern-tls-'))
  onTestFinished(remove)
  const files = { certFile: join(path, 'tls.crt'), keyFile: join(path, 'tls.key'), clientCaFile: join(path, 'ca.crt') }
  await writeFile(files.certFile, cert)
  await writeFile(files.keyFile, key, { mode: 0o600 })
  await writeFile(files.clientCaFile, other.cert)
  return files
}

function faultsSeen(): Events['cistern:fault'][] {
  const faults: Events['cistern:fault'][] = []
  onTestFinished(subscribe('cistern:fault', (event) => faults.push(event)))
  return faults
}

describe('a certificate', () => {
  it('is found where links lead elsewhere, as Kubernetes replaces secrets', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-tls-'))
    const { path } = directory
    for (const [name, { cert, key }] of Object.entries({ before: pair, after: next })) {
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
    expect(certificate.material).toEqual(next)
    expect(await certificate.look()).toBe(false)
  })

  it.each<[string, (next: Pair) => Partial<Pair>]>([
    ['without its key', ({ cert }) => ({ cert })],
    ['with a key of another kind', ({ cert }) => ({ cert, key: rsaKey.export(pem).toString() })],
    ['cut off', ({ cert, key }) => ({ cert: cert.slice(0, 300), key })],
    ['empty', ({ key }) => ({ cert: '', key })],
    ['with a key cut off', ({ cert, key }) => ({ cert, key: key.slice(0, 100) })],
    ['that is none', ({ key }) => ({ cert: key, key })],
    ['that ran out', () => selfSigned({ expired: true })],
  ])('%s changes nothing, is announced once, and gives way to a right one', async (_, broken) => {
    const files = await filesOf(pair)
    const replace = async ({ cert, key }: Partial<Pair>) => {
      if (cert !== undefined) await writeFile(files.certFile, cert)
      if (key !== undefined) await writeFile(files.keyFile, key)
    }
    const certificate = await Certificate.open(files)
    const faults = faultsSeen()

    await replace(broken(next))
    expect(await certificate.look()).toBe(false)
    expect(faults).toEqual([])
    for (let looks = 0; looks < 3; looks++) expect(await certificate.look()).toBe(false)
    expect(certificate.material).toMatchObject(pair)
    expect(faults).toHaveLength(1)
    expect(JSON.stringify(faults)).not.toContain('PRIVATE')

    await replace(next)
    expect(await certificate.look()).toBe(true)
    expect(certificate.material).toMatchObject(next)
  })

  it('is served while its file is gone', async () => {
    const files = await filesOf(pair)
    const certificate = await Certificate.open(files)
    await rename(files.certFile, `${files.certFile}.away`)
    expect(await certificate.look()).toBe(false)
    expect(certificate.material).toMatchObject(pair)
    await rename(`${files.certFile}.away`, files.certFile)
    await certificate.look()
    expect(certificate.material).toMatchObject(pair)
  })

  it('tells how long it is good, and whether everybody can read its key', async () => {
    const files = await filesOf(pair)
    const certificate = await Certificate.open(files)
    const { beginsAt, expiresAt } = certificate.validity
    expect(beginsAt).toBeLessThan(Date.now())
    expect(expiresAt).toBeGreaterThan(Date.now())
    expect(certificate.exposed).toBe(false)
    await chmod(files.keyFile, 0o644)
    await certificate.look()
    expect(certificate.exposed).toBe(true)
  })

  it('that ran out, by the clock, is refused at the start', async () => {
    const files = await filesOf(pair)
    const { validity } = await Certificate.open(files)
    await expect(Certificate.open(files, () => validity.expiresAt)).rejects.toThrow(/tls\.crt: expired at 20\d\d-/)
  })

  it.each<[string, Partial<Pair> & { ca?: string }, RegExp]>([
    ['without its key', { key: next.key }, /tls\.key: is not the key of the certificate in .*tls\.crt$/],
    ['with a key of another kind', { key: rsaKey.export(pem).toString() }, /tls\.key: is not the key of/],
    ['with an encrypted key', { key: encrypted }, /tls\.key: is encrypted, and there is no passphrase for it$/],
    ['with a certificate for a key', { key: pair.cert }, /tls\.key: no private key \(ERR_OSSL_UNSUPPORTED\)$/],
    ['that is none', { cert: pair.key }, /tls\.crt: no certificate \(/],
    ['that is no PEM', { cert: 'nothing' }, /tls\.crt: is not PEM$/],
    ['with an authority that is none', { ca: pair.key }, /ca\.crt: no list of certificates \(/],
    ['with an authority that is no PEM', { ca: 'nothing' }, /ca\.crt: is not PEM$/],
  ])('%s is refused at the start, by the name of its file', async (_, { ca, ...broken }, message) => {
    const files = await filesOf({ ...pair, ...broken })
    if (ca !== undefined) await writeFile(files.clientCaFile, ca)
    await expect(Certificate.open(files)).rejects.toThrow(message)
  })

  it('whose file is not there is refused at the start', async () => {
    const files = await filesOf(pair)
    await expect(Certificate.open({ ...files, keyFile: '/nowhere/none' })).rejects.toThrow(
      /^\/nowhere\/none: cannot be read \(ENOENT\)$/,
    )
  })

  it('of an elliptic curve may have the curve written before its key', async () => {
    const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
    const files = await filesOf({ ...pair, key: parameters + pair.key })
    expect((await Certificate.open(files)).material.key).toContain('EC PARAMETERS')
  })
})
