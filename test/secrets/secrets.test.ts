import { mkdtempDisposable, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Secrets } from '../../src/secrets/secrets.ts'

const registry = { id: '111122223333', region: 'eu-central-1' }
const name = 'ecr-pullthroughcache/hub'
const version = { versionId: 'v1', value: '{"username":"u","accessToken":"canary-7f3a"}' }

async function open() {
  const directory = await mkdtempDisposable(join(tmpdir(), 'cistern-secrets-'))
  const start = (more: { keyFile?: string } = {}) =>
    Secrets.open({ dataDir: directory.path, registry, clock: () => 1000, ...more })
  return {
    path: (file: string) => join(directory.path, file),
    start,
    secrets: await start(),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

describe('a secret', () => {
  it('is found by ARN and name, and outlives a restart', async () => {
    await using given = await open()
    const { arn } = await given.secrets.create(name, version)
    const again = await given.start()

    expect(arn).toMatch(/^arn:aws:secretsmanager:eu-central-1:111122223333:secret:ecr-pullthroughcache\/hub-\w{6}$/)
    for (const id of [arn, arn.slice(0, -7), name]) expect(again.valueOf(id)).toBe(version.value)
    expect(again.valueOf('ecr-pullthroughcache/other')).toBeUndefined()
  })

  it('is nowhere on disk as it is, and its files are for the owner alone', async () => {
    await using given = await open()
    expect(await readdir(given.path('.'))).toEqual([])
    await given.secrets.create(name, version)
    await given.secrets.update(name, { version: { versionId: 'v2', value: 'canary-8b1c' } })

    for (const file of await readdir(given.path('.'))) {
      expect(await readFile(given.path(file), 'latin1')).not.toContain('canary')
      expect((await stat(given.path(file))).mode & 0o777).toBe(0o600)
    }
  })

  it('is one of five hundred at most', async () => {
    await using given = await open()
    await given.secrets.create(name, version)
    const document = JSON.parse(await readFile(given.path('secrets.json'), 'utf8'))
    const [one] = document.secrets
    document.secrets = Array.from({ length: 500 }, (_, n) => (n === 0 ? one : { ...one, name: `n${n}`, arn: `a${n}` }))
    await writeFile(given.path('secrets.json'), JSON.stringify(document))
    const full = await given.start()
    await expect(full.create('ecr-pullthroughcache/other', version)).rejects.toMatchObject({ reason: 'limit' })
    expect(await full.create(name, version)).toMatchObject({ name })
    await full.delete('n7')
    expect(await full.create('ecr-pullthroughcache/other', version)).toMatchObject({ versionId: 'v1' })
  })

  it('is undecryptable moved to another name, and another key is none to start with', async () => {
    await using given = await open()
    await given.secrets.create(name, version)
    await given.secrets.create('ecr-pullthroughcache/other', { versionId: 'v1', value: 'other' })
    const document = JSON.parse(await readFile(given.path('secrets.json'), 'utf8'))
    document.secrets[0].sealed = document.secrets[1].sealed
    await writeFile(given.path('secrets.json'), JSON.stringify(document))
    const swapped = await given.start()
    expect(() => swapped.valueOf(name)).toThrow(expect.objectContaining({ reason: 'undecryptable' }))
    expect(swapped.valueOf('ecr-pullthroughcache/other')).toBe('other')

    await writeFile(given.path('secret-key'), Buffer.alloc(32))
    await expect(given.start()).rejects.toThrow('secret-key is not the key that the secrets in')

    await rm(given.path('secret-key'))
    await expect(given.start()).rejects.toThrow('secret-key is missing')
  })

  it('is made once, and again only by a retry', async () => {
    await using given = await open()
    const first = await given.secrets.create(name, version)

    expect(await given.secrets.create(name, version)).toEqual(first)
    await expect(given.secrets.create(name, { ...version, value: 'x' })).rejects.toMatchObject({ reason: 'exists' })
    await expect(given.secrets.create(name, { ...version, versionId: 'v2' })).rejects.toMatchObject({
      reason: 'exists',
    })
  })

  it('is changed and deleted', async () => {
    await using given = await open()
    await given.secrets.create(name, version)
    await given.secrets.update(name, { description: 'of the hub' })
    await given.secrets.update(name, { version: { versionId: 'v2', value: 'new' } })
    expect(given.secrets.find(name)).toMatchObject({ description: 'of the hub', versionId: 'v2' })
    expect(given.secrets.valueOf(name)).toBe('new')

    await given.secrets.delete(name)
    expect(given.secrets.list()).toEqual([])
    await expect(given.secrets.delete(name)).rejects.toMatchObject({ reason: 'missing' })
  })

  it('refuses to begin anew over a damaged file', async () => {
    await using given = await open()
    await given.secrets.create(name, version)
    await writeFile(given.path('secrets.json'), '{"version":1,"secr')
    await expect(given.start()).rejects.toThrow('is damaged')
  })
})

describe('a key that is given', () => {
  const bytes = Buffer.from(Array.from({ length: 32 }, (_, at) => 7 * at))
  const forms: [string, string | Buffer][] = [
    ['as it is', bytes],
    ['in hexadecimal', bytes.toString('hex')],
    ['in hexadecimal, in capitals', bytes.toString('hex').toUpperCase()],
    ['in base64, on a line', `${bytes.toString('base64')}\n`],
  ]

  it.each(forms)('encrypts in place of one of our own: %s', async (_, content) => {
    await using given = await open()
    const keyFile = given.path('given-key')
    await writeFile(keyFile, content)
    await (await given.start({ keyFile })).create(name, version)
    expect(await readdir(given.path('.'))).not.toContain('secret-key')

    await writeFile(keyFile, bytes)
    expect((await given.start({ keyFile })).valueOf(name)).toBe(version.value)
  })

  it.each([
    ['nothing', ''],
    ['too little', bytes.subarray(1)],
    ['too much', Buffer.concat([bytes, Buffer.from('canary')])],
    ['half a key in hexadecimal', bytes.toString('hex').slice(32)],
    ['base64 with blanks', bytes.toString('base64').replace(/^..../, '$& ')],
  ])('has to be one: %s is none', async (_, content) => {
    await using given = await open()
    const keyFile = given.path('given-key')
    await writeFile(keyFile, content)
    await expect(given.start({ keyFile })).rejects.toThrow(`${keyFile} does not hold a key: 32 bytes`)
  })

  it('has to be there', async () => {
    await using given = await open()
    const keyFile = given.path('given-key')
    await expect(given.start({ keyFile })).rejects.toThrow(`${keyFile} cannot be read (ENOENT)`)
  })

  it('has to be the right one, and a wrong one does no harm', async () => {
    await using given = await open()
    const keyFile = given.path('given-key')
    await writeFile(keyFile, bytes)
    await given.secrets.create(name, version)
    const before = await readFile(given.path('secrets.json'), 'utf8')

    await expect(given.start({ keyFile })).rejects.toThrow(`${keyFile} is not the key that the secrets in`)
    expect(await readFile(given.path('secrets.json'), 'utf8')).toBe(before)
    await writeFile(keyFile, await readFile(given.path('secret-key')))
    expect((await given.start({ keyFile })).valueOf(name)).toBe(version.value)
  })
})
