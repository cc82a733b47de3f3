import type { Facts } from './condition.ts'
import type { Listed, PolicyDocument, PrincipalPattern, Statement } from './policy-document.ts'
import type { Principal } from './principal.ts'
import { arnMatches, wildcardMatches } from './wildcard.ts'

export type Question = {
  principal: Principal
  /** As in `ecr:BatchGetImage`. */
  action: string
  /** An ARN, or `*` for what is asked of no resource. */
  resource: string
  context: Omit<Facts, 'principalArn'>
  /** The documents of the principal itself. */
  identity: readonly PolicyDocument[]
  repositoryPolicy?: PolicyDocument | undefined
  registryPolicy?: PolicyDocument | undefined
}

/** `deny` was said by a statement; `none` means that no statement speaks of it, which is a no as well. */
export type Decision = 'allow' | 'deny' | 'none'

/**
 * An explicit Deny of any document wins. Else the principal's own documents may allow, or those of the repository or
 * registry where they name the principal. One that names the whole account leaves it to the principal's own documents,
 * as AWS does: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
export function decide(question: Question): Decision {
  const { principal, identity, repositoryPolicy, registryPolicy } = question
  const facts: Facts = { ...question.context, principalArn: 'arn' in principal ? principal.arn : undefined }
  const own = identity.flatMap(({ statements }) => statements)
  const resource = [repositoryPolicy, registryPolicy].flatMap((document) => document?.statements ?? [])
  const applying = [...own, ...resource].filter((statement) => applies(statement, question, facts))
  if (applying.some(({ effect }) => effect === 'Deny')) return 'deny'
  return applying.some(({ effect }) => effect === 'Allow') ? 'allow' : 'none'
}

function applies(statement: Statement, { principal, action, resource }: Question, facts: Facts): boolean {
  const { principals, actions, resources, conditions } = statement
  return (
    (!principals || speaksOf(principals, principal, statement.effect)) &&
    isListed(actions, (pattern) => wildcardMatches(pattern.toLowerCase(), action.toLowerCase())) &&
    (!resources || isListed(resources, (pattern) => arnMatches(pattern, resource))) &&
    conditions.every((holds) => holds(facts))
  )
}

const isListed = <T>({ entries, negated }: Listed<T>, fits: (entry: T) => boolean): boolean =>
  entries.some(fits) !== negated

/** Only a Deny means each user of an account that it names; NotPrincipal spares none but those it names themselves. */
function speaksOf(principals: Listed<PrincipalPattern>, principal: Principal, effect: Statement['effect']): boolean {
  const meansAccounts = effect === 'Deny' && !principals.negated
  return isListed(principals, (pattern) => {
    if ('everyone' in pattern) return true
    if (principal.kind === 'anonymous') return false
    if ('userArn' in pattern) return pattern.userArn === principal.arn
    return meansAccounts && pattern.accountId === principal.accountId
  })
}
