import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** As much of AWS Secrets Manager as it takes to read one secret. */
export class SecretsService implements AsyncDisposable {
  readonly arn = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/test-a1b2c3'
  requests = 0
  readonly #server: Server

  private constructor(secret: object) {
    const answer = JSON.stringify({ ARN: this.arn, Name: 'test', SecretString: JSON.stringify(secret) })
    this.#server = createServer((request, response) => {
      this.requests++
      request.resume()
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(answer)
    })
  }

  static async start(secret: object): Promise<SecretsService> {
    const service = new SecretsService(secret)
    service.#server.listen(0, '127.0.0.1')
    await once(service.#server, 'listening')
    return service
  }

  /** What makes an AWS client of another process come here. */
  get env(): NodeJS.ProcessEnv {
    const { port } = this.#server.address() as AddressInfo
    return {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${port}`,
      AWS_ACCESS_KEY_ID: 'canary-aws-7f3a',
      AWS_SECRET_ACCESS_KEY: 'canary-aws-7f3a',
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
