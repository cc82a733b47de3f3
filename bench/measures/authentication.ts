import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { clientsOf } from '../../test/support/ecr.ts'
import { repository } from '../content.ts'
import type { Finding } from '../finding.ts'
import type { Lab } from '../lab.ts'
import { prefix } from '../servers/cistern.ts'
import type { Measure } from './measure.ts'
import { compareRates } from './rates.ts'

const keyId = 'AKIABENCH'

/** What a key is given that may pull one team's images, and not what is under embargo. */
const policy = {
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Action: 'ecr:GetAuthorizationToken', Resource: '*' },
    {
      Effect: 'Allow',
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchImportUpstreamImage'],
      Resource: `arn:aws:ecr:*:*:repository/${prefix}/${repository.split('/')[0]}/*`,
    },
    { Effect: 'Deny', Action: 'ecr:*', Resource: 'arn:aws:ecr:*:*:repository/*/embargo/*' },
  ],
}

/** Cistern that asks who calls, against itself where it does not. */
export const authentication: Measure = {
  id: 'authentication',
  nullTest: 'null-rate',
  run: async (lab) => [await measure(lab)],
}

async function measure(lab: Lab): Promise<Finding> {
  const secret = randomBytes(20).toString('base64url')
  const secretFile = join(lab.directory, 'secret')
  await writeFile(secretFile, secret, { mode: 0o600 })
  const accessKeys = [{ id: keyId, secretFile, user: 'bench', policies: [policy] }]
  await using required = await lab.startCistern('cistern-required', {
    config: { auth: { mode: 'required' }, accessKeys },
  })
  using clients = clientsOf(required, { accessKeyId: keyId, secretAccessKey: secret })
  const { authorizationData } = await clients.ecr.send(new GetAuthorizationTokenCommand({}))
  const authorization = `Basic ${authorizationData?.[0]?.authorizationToken}`
  const asked = { method: 'GET' as const, path: lab.manifestByDigest }
  const ours = { server: required, asked: { ...asked, headers: { authorization } } }
  return await compareRates(
    lab,
    ours,
    { server: lab.cistern, asked },
    {
      id: 'authentication',
      title: '`auth.mode: required` with a policy, GET manifest by digest',
      target: { direction: 'at least', must: 0.8, aim: 0.95 },
      seconds: lab.scale.seconds,
    },
  )
}
