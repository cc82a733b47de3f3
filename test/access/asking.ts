import { decide, type Question } from '../../src/access/policy.ts'
import { type PolicyDocument, type PolicyKind, readPolicy } from '../../src/access/policy-document.ts'
import { keyUser } from '../../src/access/principal.ts'

export const accountId = '111122223333'
export const repositoryArn = `arn:aws:ecr:us-east-1:${accountId}:repository/docker.io/library/nginx`
export const alice = keyUser(accountId, { id: 'AKIAALICE', user: 'alice' })
export const bob = keyUser(accountId, { id: 'AKIABOB', user: 'bob' })

export const policy = (kind: PolicyKind, ...statements: object[]): PolicyDocument =>
  readPolicy({ Version: '2012-10-17', Statement: statements }, kind)

export const user = (...statements: object[]): Partial<Question> => ({ identity: [policy('identity', ...statements)] })

export const repository = (...statements: object[]): Partial<Question> => ({
  repositoryPolicy: policy('repository', ...statements),
})

export const registry = (...statements: object[]): Partial<Question> => ({
  registryPolicy: policy('registry', ...statements),
})

export const allow = (more: object = {}) => ({ Effect: 'Allow', Action: 'ecr:*', Resource: '*', ...more })
export const deny = (more: object = {}) => ({ Effect: 'Deny', Action: 'ecr:*', Resource: '*', ...more })

/** As `allow` and `deny`, of a repository's policy: who, and no resource. */
export const allowing = (AWS: string | string[], more: object = {}) => ({
  ...{ Effect: 'Allow', Principal: { AWS }, Action: 'ecr:*' },
  ...more,
})
export const denying = (AWS: string | string[], more: object = {}) => ({
  ...{ Effect: 'Deny', Principal: { AWS }, Action: 'ecr:*' },
  ...more,
})

/** What is decided on alice's pull from one repository, or on what the questions in turn change about it. */
export const ask = (...changes: Partial<Question>[]) =>
  decide(
    Object.assign(
      {
        principal: alice,
        action: 'ecr:BatchGetImage',
        resource: repositoryArn,
        context: {},
        identity: [],
      },
      ...changes,
    ),
  )
