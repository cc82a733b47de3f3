import { randomUUID } from 'node:crypto'
import { mkdir, mkdtempDisposable, rename, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startCistern } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { image, startUpstream } from '../support/faulty-upstream.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { withTools } from '../support/with-tools.ts'
import { skopeoCopy } from './skopeo.ts'

type Pair = ReturnType<typeof selfSigned>

/** A cache behind a certificate, mounted and replaced as Kubernetes does it, that clients answer by one of their own. */
async function start() {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-encrypted-')))
  const upstream = starting.use(await startUpstream())
  const known = selfSigned()
  const serve = async ({ cert, key }: Pair) => {
    const version = `..${randomUUID()}`
    await mkdir(join(path, version))
    await writeFile(join(path, version, 'tls.key'), key, { mode: 0o600 })
    await writeFile(join(path, version, 'tls.crt'), cert)
    await writeFile(join(path, version, 'ca.crt'), known.cert)
    await symlink(version, join(path, '..data_tmp'))
    await rename(join(path, '..data_tmp'), join(path, '..data'))
  }
  const pair = selfSigned()
  await serve(pair)
  const names = ['tls.crt', 'tls.key', 'ca.crt']
  const [certFile, keyFile, clientCaFile] = names.map((name) => join(path, name))
  for (const name of names) await symlink(join('..data', name), join(path, name))
  const tls = { certFile, keyFile, clientCaFile }
  const rules = [{ prefix: 'up.example', upstream: upstream.url }]
  const cistern = starting.use(await startCistern({ rules, config: { tls } }))
  const parts = starting.move()
  return {
    upstream,
    pair,
    known,
    serve,
    cistern,
    /** As clients of containers/image want it. */
    certificates: async (name: string, server: Pair, client?: Pair) => {
      const directory = join(path, name)
      await mkdir(directory)
      await writeFile(join(directory, 'ca.crt'), server.cert)
      if (client) await writeFile(join(directory, 'client.cert'), client.cert)
      if (client) await writeFile(join(directory, 'client.key'), client.key)
      return directory
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

withTools('skopeo')('skopeo, by TLS', () => {
  it('copies an image with a certificate that is accepted, also once that of the cache was replaced', async () => {
    await using started = await start()
    const { cistern, upstream, pair, known, serve, certificates } = started
    const { digest } = upstream.addImage('team/app', 'v1', image())
    const name = `${cistern.host}/up.example/team/app:v1`

    expect((await skopeoCopy(name, { certificates: await certificates('known', pair, known) })).digest).toBe(digest)
    await expect(skopeoCopy(name, { certificates: await certificates('none', pair) })).rejects.toThrow(
      /certificate required|bad certificate/,
    )
    const stranger = await certificates('stranger', pair, selfSigned())
    await expect(skopeoCopy(name, { certificates: stranger })).rejects.toThrow('ended with 1')

    const next = selfSigned()
    await serve(next)
    const trusting = await certificates('next', next, known)
    await eventually(async () => expect((await skopeoCopy(name, { certificates: trusting })).digest).toBe(digest))
    expect(cistern.logs.join('\n')).toContain('another certificate is served to new connections')
  }, 60_000)
})

describe('cistern check-config', () => {
  it.each([
    ['a key that is not of the certificate', selfSigned(), /tls: .*tls\.key: is not the key of the certificate/],
    ['a certificate that ran out', selfSigned({ expired: true }), /tls: .*tls\.crt: expired at/],
  ])('finds %s, as the start does', async (what, pair, message) => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-encrypted-'))
    const [certFile, keyFile] = [join(directory.path, 'tls.crt'), join(directory.path, 'tls.key')]
    await writeFile(certFile, pair.cert)
    await writeFile(keyFile, what.includes('not of') ? selfSigned().key : pair.key)
    const flags = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--data-dir', directory.path]
    for (const command of ['check-config', 'serve']) {
      const ended = run(process.execPath, [join(root, 'src', 'main.ts'), command, ...flags])
      await expect(ended).rejects.toThrow(message)
      await expect(ended).rejects.toThrow('ended with 2')
    }
  })
})
