import { mkdtempDisposable, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'

export type Certificate = { key: string; cert: string; file: string }

/** Self-signed certificates in files that go with it. */
export class Certificates implements AsyncDisposable {
  readonly #directory: AsyncDisposable & { path: string }

  private constructor(directory: AsyncDisposable & { path: string }) {
    this.#directory = directory
  }

  static async start(): Promise<Certificates> {
    return new Certificates(await mkdtempDisposable(join(tmpdir(), 'cistern-certificates-')))
  }

  /** `subjects` as in `IP:127.0.0.1` or `DNS:example.com`. An expired one ended yesterday. */
  async make(name: string, subjects: string, expired = false): Promise<Certificate> {
    const [keyFile, request, file] = [this.path(`${name}.key`), this.path(`${name}.csr`), this.path(`${name}.crt`)]
    const openssl = requireTool('openssl')
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile]
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${subjects}`]
    await run(openssl, ['req', '-new', ...subject, ...key, '-out', request])
    const life = ['-days', expired ? '-1' : '2', '-copy_extensions', 'copy']
    await run(openssl, ['x509', '-req', ...life, '-in', request, '-signkey', keyFile, '-out', file])
    return { key: await readFile(keyFile, 'utf8'), cert: await readFile(file, 'utf8'), file }
  }

  /** Of a file beside them. */
  path(file: string): string {
    return join(this.#directory.path, file)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }
}
