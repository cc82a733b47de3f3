import {
  CreatePullThroughCacheRuleCommand,
  CreateRepositoryCommand,
  CreateRepositoryCreationTemplateCommand,
  DescribePullThroughCacheRulesCommand,
  DescribeRepositoryCreationTemplatesCommand,
  GetLifecyclePolicyCommand,
  GetRepositoryPolicyCommand,
  PutLifecyclePolicyCommand,
  SetRepositoryPolicyCommand,
} from '@aws-sdk/client-ecr'
import { CreateSecretCommand, GetSecretValueCommand } from '@aws-sdk/client-secrets-manager'
import { expect, it } from 'vitest'
import { askInstance } from '../../../src/commands/control.ts'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey, type TestKey } from '../../support/ecr.ts'

const policyText = (Sid: string) =>
  JSON.stringify({ Statement: [{ Sid, Effect: 'Allow', Principal: '*', Action: 'ecr:BatchGetImage' }] })
const lifecyclePolicyText = (description: string) =>
  JSON.stringify({
    rules: [
      {
        rulePriority: 1,
        description,
        selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 10_000 },
        action: { type: 'expire' },
      },
    ],
  })

/** Makes one thing by its name, and rejects where it is not there. */
type Sort = { make: (name: string) => Promise<unknown>; see: (name: string) => Promise<unknown> }

function sortsOf({ ecr, secrets }: ReturnType<typeof clientsOf>, cistern: CisternProcess): Record<string, Sort> {
  const secretOf = (name: string) => ({ Name: `ecr-pullthroughcache/${name}`, SecretString: `canary of ${name}` })
  const repositoryOf = (name: string) => ({ repositoryName: `made/${name}` })
  return {
    rules: {
      make: (ecrRepositoryPrefix) =>
        ecr.send(new CreatePullThroughCacheRuleCommand({ ecrRepositoryPrefix, upstreamRegistryUrl: 'quay.io' })),
      see: (name) => ecr.send(new DescribePullThroughCacheRulesCommand({ ecrRepositoryPrefixes: [name] })),
    },
    secrets: {
      make: (name) => secrets.send(new CreateSecretCommand(secretOf(name))),
      see: async (name) => {
        const { Name: SecretId, SecretString } = secretOf(name)
        expect(await secrets.send(new GetSecretValueCommand({ SecretId }))).toMatchObject({ SecretString })
      },
    },
    templates: {
      make: (prefix) =>
        ecr.send(new CreateRepositoryCreationTemplateCommand({ prefix, appliedFor: ['PULL_THROUGH_CACHE'] })),
      see: async (name) => {
        const told = await ecr.send(new DescribeRepositoryCreationTemplatesCommand({ prefixes: [name] }))
        expect(told.repositoryCreationTemplates).toMatchObject([{ prefix: name }])
      },
    },
    policies: {
      make: async (name) => {
        await ecr.send(new CreateRepositoryCommand(repositoryOf(name)))
        await ecr.send(new SetRepositoryPolicyCommand({ ...repositoryOf(name), policyText: policyText(name) }))
        const text = lifecyclePolicyText(name)
        await ecr.send(new PutLifecyclePolicyCommand({ ...repositoryOf(name), lifecyclePolicyText: text }))
      },
      see: async (name) => {
        const { policyText: text } = await ecr.send(new GetRepositoryPolicyCommand(repositoryOf(name)))
        const lifecycle = await ecr.send(new GetLifecyclePolicyCommand(repositoryOf(name)))
        expect([text, lifecycle.lifecyclePolicyText]).toEqual([policyText(name), lifecyclePolicyText(name)])
      },
    },
    keys: {
      make: async (name) => {
        const made = await askInstance(cistern.dataDir, `/keys?user=${name}`)
        if (made === undefined) throw new Error('nobody is there')
      },
      see: async (name) => {
        const { keys } = (await askInstance(cistern.dataDir, '/keys', 'GET')) as { keys: { user: string }[] }
        expect(keys.map(({ user }) => user)).toContain(name)
      },
    },
  }
}

/** Makes one thing after the other, and notes those that were answered, until there is nobody to make them. */
async function makeMany({ make }: Sort, round: number, note: (name: string) => void): Promise<void> {
  for (let number = 0; number < 15; number++) {
    const name = `n${round}-${number}`
    const answered = await make(name).then(
      () => true,
      () => false,
    )
    if (!answered) return
    note(name)
  }
}

it('I3: what was answered is there after a kill, in the middle of whatever was under way', async () => {
  await using cistern = await startCistern({ rules: [] })
  const key: TestKey = await firstKey(cistern)
  const answered: [sort: string, name: string][] = []
  for (const [round, count] of [1, 8, 30].entries()) {
    using clients = clientsOf(cistern, key)
    const enough = Promise.withResolvers<void>()
    const before = answered.length
    const making = Object.entries(sortsOf(clients, cistern)).map(([sort, each]) =>
      makeMany(each, round, (name) => {
        answered.push([sort, name])
        if (answered.length - before >= count) enough.resolve()
      }),
    )
    await enough.promise
    await cistern.kill()
    await Promise.all(making)
    await cistern.restart()

    using again = clientsOf(cistern, key)
    const sorts = sortsOf(again, cistern)
    for (const [sort, name] of answered) await sorts[sort]?.see(name)
  }
  expect(new Set(answered.map(([sort]) => sort)).size).toBe(5)
})
