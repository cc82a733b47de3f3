import type { SecretFault } from '../../credentials/credentials.ts'
import { isKind } from '../../oci/errors.ts'
import type { Rule } from '../../rules/rule.ts'
import { AwsError } from './errors.ts'
import { assertMay, type Call } from './operation.ts'

export type RuleCheckOptions = {
  /** The whole ARN of a secret that is a credential, or what is wrong with it as one. */
  lookUpSecret: (arn: string) => Promise<{ arn: string } | { fault: SecretFault }>
  /** Whether the upstream of a rule is there and takes its credential. Throws `RegistryError` where it does not. */
  checkUpstream: (rule: Rule) => Promise<void>
}

const secretErrors = {
  missing: ['SecretNotFoundException', 'The ARN of the secret specified in the pull through cache rule was not found.'],
  inaccessible: [
    'UnableToAccessSecretException',
    'The secret is unable to be accessed. Verify the resource permissions for the secret and try again.',
  ],
  unreadable: [
    'UnableToDecryptSecretValueException',
    'The secret is accessible but is unable to be decrypted. Verify that it holds username and accessToken and try again.',
  ],
} as const

/**
 * A rule sends its secret to whatever upstream it names. AWS knows its few upstreams; here it takes the right to read
 * the secret to give it to one. Policies name secrets by their whole ARNs, so that a shorter form finds none.
 */
export async function assertUsable(
  arn: string,
  call: Call,
  { lookUpSecret }: Pick<RuleCheckOptions, 'lookUpSecret'>,
): Promise<void> {
  await assertMay(call, 'secretsmanager:GetSecretValue', arn)
  const found = await lookUpSecret(arn)
  if ('arn' in found && found.arn === arn) return
  const [code, message] = secretErrors['fault' in found ? found.fault : 'missing']
  throw new AwsError(code, message)
}

/** What keeps a rule from being pulled through. Public upstreams are not asked, as at AWS. */
export async function failureOf(
  rule: Rule,
  { checkUpstream, lookUpSecret }: RuleCheckOptions,
): Promise<string | undefined> {
  const { credential } = rule
  if (!credential && !rule.credentials) return undefined
  const secret = credential && 'secretArn' in credential && (await lookUpSecret(credential.secretArn))
  if (secret && 'fault' in secret) return secretErrors[secret.fault][1]
  try {
    await checkUpstream(rule)
    return undefined
  } catch (error) {
    if (isKind(error, 'denied')) {
      return 'The authentication to the upstream registry failed. Verify that the credentials provided in the pull through cache rule are correct, and try again.'
    }
    return 'The upstream registry cannot be reached, or does not answer as a registry does.'
  }
}
