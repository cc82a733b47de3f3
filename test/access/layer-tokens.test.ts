import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { AccessKey } from '../../src/access/access-key.ts'
import { LayerTokens } from '../../src/access/layer-tokens.ts'
import { TokenSigner } from '../../src/access/token-signer.ts'
import { Tokens } from '../../src/access/tokens.ts'
import { rawPathFault } from '../../src/http/gate.ts'

const key: AccessKey = { id: 'AKIAALICE', secret: 'secret-canary-0123', user: 'alice', policies: [], references: [] }
const grant = { repository: 'team/app', digest: `sha256:${'a'.repeat(64)}` } as const
const minute = 60_000

async function given(owner: AccessKey = key) {
  const directory = await mkdtempDisposable(join(tmpdir(), 'cistern-layer-tokens-'))
  const clock = { now: 1_700_000_000_000 }
  const keys = new Map([[owner.id, owner]])
  const options = { dataDir: directory.path, registryId: '111122223333', keys, clock: () => clock.now }
  const signer = await TokenSigner.open(options)
  return {
    clock,
    keys,
    layers: new LayerTokens(signer),
    logins: new Tokens(signer),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

it('is good for one blob, for ten minutes', async () => {
  await using parts = await given()
  const token = await parts.layers.issue(key, grant)
  expect(await parts.layers.verify(token)).toEqual({ ...grant, key })
  parts.clock.now += 10 * minute - 1000
  expect(await parts.layers.verify(token)).toBeDefined()
  parts.clock.now += 1000
  expect(await parts.layers.verify(token)).toBeUndefined()
})

it('is no login, and a login is none of it', async () => {
  await using parts = await given()
  const token = await parts.layers.issue(key, grant)
  const { password } = await parts.logins.issue(key)
  expect(await parts.logins.verify(token)).toEqual({ state: 'invalid' })
  expect(await parts.layers.verify(password)).toBeUndefined()
})

it('is refused where it was changed, and once its key is gone or made anew', async () => {
  await using parts = await given()
  const token = await parts.layers.issue(key, grant)
  const [header = '', payload = '', signature = ''] = token.split('.')
  const other = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), repository: 'team/secret' }
  const forged = `${header}.${Buffer.from(JSON.stringify(other)).toString('base64url')}.${signature}`
  expect(await parts.layers.verify(forged)).toBeUndefined()
  parts.keys.set(key.id, { ...key, secret: 'another-canary' })
  expect(await parts.layers.verify(token)).toBeUndefined()
  parts.keys.delete(key.id)
  expect(await parts.layers.verify(token)).toBeUndefined()
})

it('fits into a path, however long the names in it are', async () => {
  const owner = { ...key, id: 'K'.repeat(128) }
  await using parts = await given(owner)
  const longest = { repository: 'r'.repeat(255), digest: `sha512:${'a'.repeat(128)}` } as const
  const token = await parts.layers.issue(owner, longest)
  expect(rawPathFault(`/layers/${token}`)).toBeUndefined()
  expect(await parts.layers.verify(token)).toMatchObject(longest)
})
