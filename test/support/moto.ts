import { CreateSecretCommand, DeleteSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
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

  /** Keeps text and bytes as they are, and else JSON. Resolves to the ARN, of account 123456789012. */
  async createSecret(name: string, value: object | string | Uint8Array): Promise<string> {
    using client = this.#client()
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    const content = value instanceof Uint8Array ? { SecretBinary: value } : { SecretString: text }
    const { ARN } = await client.send(new CreateSecretCommand({ Name: name, ...content }))
    return ARN ?? ''
  }

  /** It stays for days, and cannot be read. */
  async deleteSecret(arn: string): Promise<void> {
    using client = this.#client()
    await client.send(new DeleteSecretCommand({ SecretId: arn }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.stop()
  }

  #client() {
    const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests-canary-key' }
    const client = new SecretsManagerClient({ endpoint: this.#url, region: 'us-east-1', credentials })
    return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
  }
}
