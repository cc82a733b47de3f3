import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CisternProcess } from './cistern.ts'
import type { TestKey } from './ecr.ts'
import { run } from './process.ts'
import { requireTool } from './tools.ts'

/** What a command of the AWS CLI prints in its JSON form. */
export type Printed = Record<string, unknown>

const settings = {
  region: 'us-east-1',
  output: 'json',
  cli_follow_urlparam: false,
  cli_timestamp_format: 'iso8601', // fails for what is no timestamp; version 1 shows any value without it
}

/** The AWS CLI for whoever has the key: nothing of the surroundings reaches it, no profile and no proxy. */
export class AwsCli {
  readonly #command = requireTool('aws')
  readonly #cistern: CisternProcess
  readonly #env: NodeJS.ProcessEnv

  private constructor(cistern: CisternProcess, key: TestKey, config: string) {
    this.#cistern = cistern
    this.#env = {
      PATH: process.env.PATH,
      HOME: cistern.directory,
      AWS_CONFIG_FILE: config,
      AWS_SHARED_CREDENTIALS_FILE: join(cistern.directory, 'no-credentials'),
      AWS_ACCESS_KEY_ID: key.accessKeyId,
      AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_MAX_ATTEMPTS: '1',
      AWS_PAGER: '',
    }
  }

  static async open(cistern: CisternProcess, key: TestKey): Promise<AwsCli> {
    const config = join(cistern.directory, 'aws.config')
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`)
    await writeFile(config, ['[default]', ...lines, ''].join('\n'))
    return new AwsCli(cistern, key, config)
  }

  /** What a command prints. Rejects where it fails. */
  async text(...args: string[]): Promise<string> {
    const endpoint = ['--endpoint-url', this.#cistern.url]
    const { stdout } = await run(this.#command, [...endpoint, ...args], { env: this.#env })
    return stdout.trim()
  }

  async json(...args: string[]): Promise<Printed> {
    return JSON.parse((await this.text(...args)) || '{}')
  }

  /** What a command says that fails with a message of the service. */
  async failure(...args: string[]): Promise<string> {
    const outcome = await this.text(...args).then(
      (text) => `succeeded: ${text}`,
      (error: Error) => error.message,
    )
    return /^An error occurred .*$/m.exec(outcome)?.[0] ?? outcome
  }
}
