import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateRepositoryCommand } from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ModelledOperation } from '../../support/aws-model.ts'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { accessKeysFor, clientsOf, keyOf } from '../../support/ecr.ts'
import { SignedRequests } from '../../support/signed-request.ts'
import { longListBodies, sampleBody } from './hostile.ts'
import { isAnswered, modelled, samplerOf } from './samples.ts'

const resources = new AsyncDisposableStack()
let cistern: CisternProcess
let requests: SignedRequests

beforeAll(async () => {
  const { path } = resources.use(await mkdtempDisposable(join(tmpdir(), 'cistern-keys-')))
  const accessKeys = await accessKeysFor(path, { admin: ['AdministratorAccess'], stranger: [] })
  cistern = resources.use(await startCistern({ rules: [], config: { accessKeys } }))
  requests = resources.use(new SignedRequests(cistern.url, keyOf('stranger')))
  using admin = clientsOf(cistern, keyOf('admin'))
  await admin.ecr.send(new CreateRepositoryCommand({ repositoryName: 'up.test/app' }))
  await admin.secrets.send(new CreateSecretCommand({ Name: 'ecr-pullthroughcache/fuzz', SecretString: 'canary' }))
})
afterAll(() => resources.disposeAsync())

async function asked({ service, target }: ModelledOperation, body: string) {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target }
  const { status, text } = await requests.send({ service, body, headers })
  return { status, ...JSON.parse(text) }
}

/** Names what is there, and what is not. */
const there = { imageDigest: `sha256:${'0'.repeat(64)}`, layerDigest: `sha256:${'0'.repeat(64)}` }
const nowhere = {
  ...{ ...there, repositoryName: 'not/there', repositoryNames: 'not/there', prefix: 'none', prefixes: 'none' },
  ...{ ecrRepositoryPrefix: 'none', ecrRepositoryPrefixes: 'none', SecretId: 'ecr-pullthroughcache/none' },
  resourceArn: 'arn:aws:ecr:us-east-1:000000000000:repository/not/there',
}

describe('who has no rights', () => {
  it.each(modelled.filter(isAnswered))('may not $name, whether it is there or not', async (operation) => {
    const refusal = {
      status: 400,
      __type: 'AccessDeniedException',
      message: expect.stringMatching(`not authorized to perform: ${operation.service}:${operation.name} on resource: `),
    }
    for (const named of [there, nowhere]) {
      const body = sampleBody(operation, samplerOf(operation.name, named))
      expect(await asked(operation, body)).toMatchObject(refusal)
    }
  })

  const withLists = modelled.filter(isAnswered).flatMap((operation) => {
    const bodies = longListBodies(operation, samplerOf(operation.name, there))
    return bodies.length > 0 ? [{ ...operation, bodies }] : []
  })

  it.each(withLists)('has nobody look at the entries of endless lists: $name', async ({ bodies, ...operation }) => {
    for (const body of bodies) {
      const { status, __type } = await asked(operation, body)
      expect([status, __type]).not.toEqual([400, 'SerializationException']) // which entries that are no text would be
      expect(status).toBe(400)
    }
  })
})
