import { readFile } from 'node:fs/promises'
import { builtInPolicies } from './built-in-policies.ts'
import { type PolicyDocument, parsePolicy } from './policy-document.ts'
import { PolicyError } from './policy-error.ts'

/** The name of a built-in policy, the path of a file that holds one in JSON, or the document itself. */
export type PolicyReference = string | Readonly<Record<string, unknown>>

/** Throws `PolicyError`. */
export const loadPolicies = (references: readonly PolicyReference[]): Promise<PolicyDocument[]> =>
  Promise.all(references.map(loadPolicy))

/** Resolves to the policy of a user. Throws `PolicyError`. */
export async function loadPolicy(reference: PolicyReference): Promise<PolicyDocument> {
  if (typeof reference !== 'string') return parsePolicy(JSON.stringify(reference), 'identity')
  const builtIn = builtInPolicies.get(reference)
  if (builtIn) return builtIn
  const text = await readFile(reference, 'utf8').catch((cause: unknown) => {
    throw new PolicyError(`${reference} is neither a built-in policy nor a file that can be read`, { cause })
  })
  try {
    return parsePolicy(text, 'identity')
  } catch (error) {
    throw error instanceof PolicyError ? new PolicyError(`${reference}: ${error.message}`) : error
  }
}

/** As it may be listed. */
export const nameOfPolicy = (reference: PolicyReference): string =>
  typeof reference === 'string' ? reference : '(inline)'
