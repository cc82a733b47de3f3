import type { CredentialSource, Rule } from '../rules/rule.ts'

/** What the credentials of a rule are called; never what they are. */
export const credentialNames = ({ credential, credentials }: Rule): string[] =>
  (credentials ?? [credential]).filter((source) => source !== undefined).map(nameOf)

function nameOf(source: CredentialSource): string {
  if ('password' in source) return `${source.username}, with the password of the configuration`
  if ('passwordFile' in source) return `${source.username}, with the password in ${source.passwordFile}`
  if ('secretArn' in source) return source.secretArn
  if ('dockerConfig' in source) return `the login in ${source.dockerConfig}`
  return 'the AWS credentials of the process'
}
