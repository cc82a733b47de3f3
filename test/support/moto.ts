import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { Service } from './process.ts'
import { requireTool } from './tools.ts'

/** A local stand-in for AWS Secrets Manager. */
export class Moto implements AsyncDisposable {
  readonly #service: Service
  readonly #url: string

  private constructor(service: Service, url: string) {
    this.#service = service
    this.#url = url
  }

  static async start(): Promise<Moto> {
    const service = new Service(requireTool('moto_server'), ['--host', '127.0.0.1', '--port', '0'])
    try {
      return new Moto(service, await service.line((line) => /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1]))
    } catch (error) {
      await service.stop('SIGKILL')
      throw error
    }
  }

  /** What makes an AWS client of another process come here. */
  get env(): NodeJS.ProcessEnv {
    return {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: this.#url,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'tests',
      AWS_SECRET_ACCESS_KEY: 'tests-canary-key',
    }
  }

  /** Resolves to the ARN. */
  async createSecret(name: string, value: object): Promise<string> {
    const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests-canary-key' }
    const client = new SecretsManagerClient({ endpoint: this.#url, region: 'us-east-1', credentials })
    try {
      const { ARN } = await client.send(new CreateSecretCommand({ Name: name, SecretString: JSON.stringify(value) }))
      return ARN ?? ''
    } finally {
      client.destroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.stop()
  }
}
