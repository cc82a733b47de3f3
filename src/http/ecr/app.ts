import { Hono } from 'hono/tiny'
import { z } from 'zod'
import type { Authority } from '../../access/authority.ts'
import type { Authentication, Signer } from '../auth.ts'
import type { Exchange, HttpEnv } from '../exchange.ts'
import { respond } from '../oci/respond.ts'
import { Bodies } from './body.ts'
import { AwsError, awsErrorOf } from './errors.ts'
import { type ImagesOptions, imageOperations } from './images.ts'
import { type ImageDeletionOptions, imageDeletionOperations } from './images-delete.ts'
import { type PullsOptions, pullOperations } from './images-get.ts'
import { parseInput, readInput, registryId } from './input.ts'
import { type LayersOptions, layerOperations } from './layers.ts'
import { answerDownload, downloadPath } from './layers-download.ts'
import { type LifecycleOptions, lifecycleOperations } from './lifecycle.ts'
import type { OperationsByName } from './operation.ts'
import { ecrOperations } from './operations.ts'
import { policyOperations } from './policies.ts'
import { pullThroughRuleOperations, type RulesOptions } from './pull-through-rules.ts'
import { referrerOperations } from './referrers.ts'
import { type RegistryOptions, registryOperations } from './registry.ts'
import { type RepositoriesOptions, repositoryOperations } from './repositories.ts'
import { scanningOperations } from './scanning.ts'
import { type SecretsOptions, secretOperations } from './secrets.ts'
import { answerSts, stsError } from './sts.ts'
import { tagOperations } from './tags.ts'
import { templateOperations } from './templates.ts'

export type EcrOptions = Omit<
  RulesOptions &
    RegistryOptions &
    SecretsOptions &
    RepositoriesOptions &
    ImagesOptions &
    PullsOptions &
    LayersOptions &
    ImageDeletionOptions &
    LifecycleOptions,
  'registryId'
> & {
  authentication: Authentication
  authority: Authority
}

/** What one `X-Amz-Target` leads to. */
type Service = { signingName: string; operations: OperationsByName }

const jsonType = 'application/x-amz-json-1.1'
const xmlType = 'text/xml; charset=utf-8'

/**
 * The control API: Amazon ECR's, with as much of Secrets Manager and STS as managing a cache takes. All of it is
 * `POST /`, signed: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html
 */
export function ecrApp(options: EcrOptions): Hono<HttpEnv> {
  const ownId = options.registry.id
  const own = { ...options, registryId: ownId }
  const services: ReadonlyMap<string, Service> = new Map([
    [
      'AmazonEC2ContainerRegistry_V20150921',
      {
        signingName: 'ecr',
        operations: new Map([
          ...pullThroughRuleOperations(own),
          ...registryOperations(own),
          ...repositoryOperations(own),
          ...imageOperations(own),
          ...pullOperations(own),
          ...imageDeletionOperations(own),
          ...layerOperations(own),
          ...referrerOperations(own),
          ...tagOperations(own),
          ...templateOperations(own),
          ...scanningOperations(own),
          ...policyOperations(own),
          ...lifecycleOperations(own),
        ]),
      },
    ],
    ['secretsmanager', { signingName: 'secretsmanager', operations: secretOperations(options) }],
  ])
  const bodies = new Bodies()
  const signerOf = (exchange: Exchange, body: Uint8Array, service: string): Promise<Signer> => {
    const { method = '', url = '', rawHeaders } = exchange.incoming
    return options.authentication.signer(exchange, { method, target: url, headers: rawHeaders, body }, service)
  }
  const withBody = <T>(exchange: Exchange, use: (body: Buffer) => Promise<T>): Promise<T> => {
    options.authentication.assertSignable(exchange)
    const { incoming, outgoing, signal } = exchange
    const waits = incoming.headers.expect !== undefined
    return bodies.with(incoming, signal, use, () => waits && outgoing.writeContinue())
  }
  const answerJson = async (exchange: Exchange, target: string): Promise<object> => {
    const [prefix = '', name = '', ...rest] = target.split('.')
    const service = rest.length === 0 ? services.get(prefix) : undefined
    if (!service) throw unknownOperation()
    const { run, input, signer } = await withBody(exchange, async (body) => {
      const signer = await signerOf(exchange, body, service.signingName)
      const run = service.operations.get(name)
      if (!run) throw service.signingName === 'ecr' ? unsupported(name) : unknownOperation()
      exchange.facts.route = `${service.signingName}:${name}`
      return { run, input: parseInput(body), signer }
    })
    // From here on others are read: an operation may have to wait for an upstream.
    assertOwnRegistry(input, ownId)
    return run(input, { ...signer, authority: options.authority, exchange })
  }

  const app = new Hono<HttpEnv>()
  app.post('/', async ({ env: { exchange } }) => {
    exchange.facts.route = 'ecr'
    const target = exchange.header('x-amz-target')
    if (target === undefined) {
      return answering(exchange, xmlType, stsError, () =>
        withBody(exchange, async (body) => {
          const signer = await signerOf(exchange, body, 'sts')
          return answerSts(body, signer, exchange.requestId)
        }),
      )
    }
    return answering(exchange, jsonType, jsonError, async () => JSON.stringify(await answerJson(exchange, target)))
  })
  app.get(downloadPath, ({ env: { exchange }, req }) => answerDownload(exchange, req.param('token'), options))
  return app
}

async function answering(
  exchange: Exchange,
  contentType: string,
  describe: (error: AwsError, requestId: string) => string,
  answer: () => Promise<string>,
): Promise<Response> {
  const headers = { 'Content-Type': contentType, 'x-amzn-RequestId': exchange.requestId }
  try {
    return await send(exchange, 200, headers, await answer())
  } catch (cause) {
    const error = awsErrorOf(cause, exchange)
    const named = { ...headers, 'x-amzn-ErrorType': error.code }
    return send(exchange, error.status, named, describe(error, exchange.requestId))
  }
}

function send(exchange: Exchange, status: number, headers: Record<string, string>, text: string): Promise<Response> {
  const body = Buffer.from(text)
  return respond(exchange, { status, headers, length: body.byteLength, body })
}

const jsonError = ({ code, message }: AwsError): string => JSON.stringify({ __type: code, message })

const registries = z.object({
  registryId: registryId.exactOptional(),
  registryIds: z.array(registryId).max(10).exactOptional(),
})

/** There is one registry here; what another one holds is nobody's here to see. */
function assertOwnRegistry(input: unknown, own: string): void {
  const { registryId = own, registryIds = [] } = readInput(registries, input)
  if ([registryId, ...registryIds].every((id) => id === own)) return
  throw new AwsError('AccessDeniedException', `There is no registry here but the one with id '${own}'`)
}

const unknownOperation = () => new AwsError('UnknownOperationException', 'The operation is not known')

function unsupported(name: string): AwsError {
  const known = ecrOperations.get(name)
  if (!known) return unknownOperation()
  return new AwsError('UnsupportedOperationException', `${name} is not supported. ${known.reason}`)
}
