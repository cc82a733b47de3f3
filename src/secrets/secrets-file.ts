import type { PrivateFile } from '../files/private-file.ts'

/** A secret as it is kept, with its value encrypted. */
export type KeptSecret = {
  readonly arn: string
  readonly name: string
  readonly description?: string
  readonly versionId: string
  readonly createdAt: number
  readonly changedAt: number
  readonly sealed: string
}

/** Raised with each change that an older version could not read. */
const formatVersion = 1

/** None where there is no file. Throws for a file that is damaged, and what the system throws. */
export async function readSecrets(file: PrivateFile): Promise<readonly KeptSecret[]> {
  const bytes = await file.read()
  if (!bytes) return []
  const secrets = secretsIn(bytes)
  if (!secrets)
    throw new Error(`${file.path} is damaged, or of another version of Cistern; ${file.previousPath} may help`)
  return secrets
}

/** Throws what the system throws, and leaves the file as it was. */
export const writeSecrets = (file: PrivateFile, secrets: readonly KeptSecret[]): Promise<void> =>
  file.write(`${JSON.stringify({ version: formatVersion, secrets }, null, 2)}\n`)

function secretsIn(bytes: Buffer): KeptSecret[] | undefined {
  try {
    const { version, secrets } = Object(JSON.parse(bytes.toString())) as { version?: unknown; secrets?: unknown }
    return version === formatVersion && Array.isArray(secrets) && secrets.every(isKeptSecret) ? secrets : undefined
  } catch {
    return undefined
  }
}

function isKeptSecret(value: unknown): value is KeptSecret {
  const { arn, name, description = '', versionId, createdAt, changedAt, sealed } = Object(value)
  const texts = [arn, name, description, versionId, sealed].every((text) => typeof text === 'string')
  return texts && [createdAt, changedAt].every((at) => typeof at === 'number')
}
