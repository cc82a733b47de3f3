import { type Adapter, Low } from 'lowdb'
import { PrivateFile } from '../files/private-file.ts'
import { publish } from '../telemetry/events.ts'
import type { ApiRule } from './api-rule.ts'

/** Raised with each change that an older version could not read. */
const formatVersion = 1

type Document = { version: typeof formatVersion; rules: readonly ApiRule[] }

/** The file of the rules that were made by the API. It is readable and small; the version before the last stays. */
export class RuleFile {
  readonly #database: Low<Document>

  private constructor(database: Low<Document>) {
    this.#database = database
  }

  /**
   * A damaged file gives way to the version before it, which is announced. Throws where both are damaged, and what the
   * system throws.
   */
  static async open(path: string): Promise<RuleFile> {
    const database = new Low<Document>(new DocumentFile(path), { version: formatVersion, rules: [] })
    await database.read()
    return new RuleFile(database)
  }

  get rules(): readonly ApiRule[] {
    return this.#database.data.rules
  }

  /** Resolves once the rules are on disk. One call at a time. Throws what the system throws, and changes nothing then. */
  async write(rules: readonly ApiRule[]): Promise<void> {
    const before = this.#database.data
    this.#database.data = { ...before, rules }
    try {
      await this.#database.write()
    } catch (error) {
      this.#database.data = before
      throw error
    }
  }
}

class DocumentFile implements Adapter<Document> {
  readonly #file: PrivateFile

  constructor(path: string) {
    this.#file = new PrivateFile(path, { keepsPrevious: true })
  }

  async read(): Promise<Document | null> {
    const { path } = this.#file
    const bytes = await this.#file.read()
    if (!bytes) return null
    const document = documentIn(bytes)
    if (document) return document
    const previous = documentIn((await this.#file.readPrevious()) ?? Buffer.alloc(0))
    if (!previous) throw new Error(`${path} is damaged, or of another version of Cistern`)
    const message = `${path} is damaged; the rules are those from before the last change`
    publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message })
    return previous
  }

  async write(document: Document): Promise<void> {
    await this.#file.write(`${JSON.stringify(document, null, 2)}\n`)
  }
}

function documentIn(bytes: Buffer): Document | undefined {
  try {
    const document = Object(JSON.parse(bytes.toString())) as Document
    const { version, rules } = document
    return version === formatVersion && Array.isArray(rules) && rules.every(isApiRule) ? document : undefined
  } catch {
    return undefined
  }
}

function isApiRule(value: unknown): value is ApiRule {
  const rule = Object(value) as Record<keyof ApiRule, unknown>
  return (
    [rule.prefix, rule.upstreamRepositoryPrefix].every((text) => typeof text === 'string' && text !== '') &&
    [rule.credentialArn, rule.customRoleArn].every((text) => text === undefined || typeof text === 'string') &&
    [rule.createdAt, rule.updatedAt].every((at) => typeof at === 'number') &&
    typeof rule.upstream === 'string' &&
    URL.parse(rule.upstream)?.origin === rule.upstream
  )
}
