import { parseUnambiguous } from '../oci/json.ts'
import { type Condition, compileCondition } from './condition.ts'
import { PolicyError } from './policy-error.ts'
import { isArnPattern } from './wildcard.ts'

/** What a document is attached to: a user, a repository or the registry. */
export type PolicyKind = 'identity' | 'repository' | 'registry'

export type PolicyDocument = { readonly statements: readonly Statement[] }

export type Statement = {
  readonly effect: 'Allow' | 'Deny'
  /** Absent in the policies of users, which speak of nobody else. */
  readonly principals?: Listed<PrincipalPattern>
  readonly actions: Listed<string>
  /** Absent in the policies of repositories, which speak of nothing else. */
  readonly resources?: Listed<string>
  /** All must hold. */
  readonly conditions: readonly Condition[]
}

/** Negated, a list means whatever is not on it: NotAction, NotResource, NotPrincipal. */
export type Listed<T> = { readonly entries: readonly T[]; readonly negated: boolean }

export type PrincipalPattern =
  | { readonly everyone: true }
  | { readonly accountId: string }
  | { readonly userArn: string }

const maxLength = 10_240
const maxStatements = 100
const maxValues = 200

/**
 * Reads a document as Amazon ECR takes it: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
 * One that says anything that is not evaluated here is refused whole. Throws `PolicyError`.
 */
export function parsePolicy(text: string, kind: PolicyKind): PolicyDocument {
  if (text.length > maxLength) throw new PolicyError(`the document is longer than ${maxLength} characters`)
  return readPolicy(read(text), kind)
}

function read(text: string): unknown {
  try {
    return parseUnambiguous(text)
  } catch (error) {
    throw new PolicyError(`the document ${(error as Error).message}`)
  }
}

/** As `parsePolicy`, of a document that was written as part of a larger one. */
export function readPolicy(value: unknown, kind: PolicyKind): PolicyDocument {
  const document = objectAt(value, 'the document', ['Version', 'Id', 'Statement'])
  const { Version: version = '2012-10-17', Id: id = '' } = document
  if (version !== '2012-10-17' && version !== '2008-10-17') throw new PolicyError('Version is not 2012-10-17')
  if (typeof id !== 'string') throw new PolicyError('Id is not text')
  const statements = listOf(document.Statement)
  if (statements.length === 0) throw new PolicyError('Statement is missing')
  if (statements.length > maxStatements) throw new PolicyError(`Statement has more than ${maxStatements} entries`)
  return { statements: statements.map((statement, index) => readStatement(statement, `Statement[${index}]`, kind)) }
}

const elements = [
  ...['Sid', 'Effect', 'Principal', 'NotPrincipal', 'Action', 'NotAction'],
  ...['Resource', 'NotResource', 'Condition'],
]

function readStatement(value: unknown, place: string, kind: PolicyKind): Statement {
  const statement = objectAt(value, place, elements)
  const { Sid: sid = '', Effect: effect } = statement
  if (typeof sid !== 'string') throw new PolicyError(`${place}.Sid is not text`)
  if (effect !== 'Allow' && effect !== 'Deny') throw new PolicyError(`${place}.Effect is neither Allow nor Deny`)
  const principals = readPrincipals(statement, place)
  if (!principals !== (kind === 'identity')) {
    throw new PolicyError(`${place} ${principals ? 'must not name' : 'lacks'} a Principal`)
  }
  if (principals?.negated && effect === 'Allow') throw new PolicyError(`${place}.NotPrincipal goes with Deny only`)
  const actions = readPatterns(statement, 'Action', place, isActionPattern)
  if (!actions) throw new PolicyError(`${place} lacks an Action`)
  const resources = readPatterns(statement, 'Resource', place, isResourcePattern)
  if (!resources !== (kind === 'repository')) {
    throw new PolicyError(`${place} ${resources ? 'must not name' : 'lacks'} a Resource`)
  }
  const conditions = readConditions(statement.Condition, `${place}.Condition`)
  return { effect, actions, conditions, ...(principals && { principals }), ...(resources && { resources }) }
}

type Tree = Readonly<Record<string, unknown>>

/** The value of `element` or of its negation, of which a statement has one at most. */
function pick(statement: Tree, element: string, place: string): { value: unknown; negated: boolean } | undefined {
  const { [element]: plain, [`Not${element}`]: negation } = statement
  if (plain !== undefined && negation !== undefined) throw new PolicyError(`${place} has ${element} and Not${element}`)
  if (plain === undefined && negation === undefined) return undefined
  return plain === undefined ? { value: negation, negated: true } : { value: plain, negated: false }
}

function readPatterns(
  statement: Tree,
  element: string,
  place: string,
  isPattern: (text: string) => boolean,
): Listed<string> | undefined {
  const picked = pick(statement, element, place)
  if (!picked) return undefined
  const entries = textsOf(picked.value, `${place}.${element}`)
  if (!entries.every(isPattern)) throw new PolicyError(`${place}.${element} has an entry that is none`)
  return { entries, negated: picked.negated }
}

const isActionPattern = (text: string): boolean => /^(?:\*|[a-z0-9-]+:[a-z0-9*?]+)$/i.test(text)

/** Variables are not evaluated here, and taken as they stand they would match nothing. */
const isResourcePattern = (text: string): boolean => (text === '*' || isArnPattern(text)) && !text.includes('${')

function readPrincipals(statement: Tree, place: string): Listed<PrincipalPattern> | undefined {
  const picked = pick(statement, 'Principal', place)
  if (!picked) return undefined
  const where = `${place}.Principal`
  if (picked.value === '*') return { entries: [{ everyone: true }], negated: picked.negated }
  const { AWS: value } = objectAt(picked.value, where, ['AWS'])
  const entries = textsOf(value, `${where}.AWS`).map((text): PrincipalPattern => {
    if (text === '*') return { everyone: true }
    const accountId = /^(?:arn:aws[\w-]*:iam::)?(\d{12})(?::root)?$/.exec(text)?.[1]
    if (accountId !== undefined) return { accountId }
    if (/^arn:aws[\w-]*:iam::\d{12}:(?:user|role)\/[\w+=,.@/-]+$/.test(text)) return { userArn: text }
    throw new PolicyError(`${where}.AWS has an entry that is neither *, an account nor the ARN of a user or role`)
  })
  return { entries, negated: picked.negated }
}

function readConditions(value: unknown, place: string): Condition[] {
  if (value === undefined) return []
  return Object.entries(objectAt(value, place)).flatMap(([operator, tests]) =>
    Object.entries(objectAt(tests, `${place}.${shown(operator)}`)).map(([key, expected]) => {
      const where = `${place}.${shown(operator)}.${shown(key)}`
      const values = textsOf(listOf(expected).map(textOfScalar), where)
      if (values.some((text) => text.includes('${')))
        throw new PolicyError(`${where}: variables are not evaluated here`)
      try {
        return compileCondition(operator, key, values)
      } catch (error) {
        throw error instanceof PolicyError ? new PolicyError(`${where}: ${error.message}`) : error
      }
    }),
  )
}

const textOfScalar = (value: unknown): unknown =>
  typeof value === 'boolean' || typeof value === 'number' ? String(value) : value

/** A plain object, of `allowed` keys where they are given. */
function objectAt(value: unknown, place: string, allowed?: readonly string[]): Tree {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PolicyError(`${place} is no object`)
  }
  const unknown = allowed && Object.keys(value).find((key) => !allowed.includes(key))
  if (unknown !== undefined) throw new PolicyError(`${place}: ${shown(unknown)} is not evaluated here`)
  return value as Tree
}

function textsOf(value: unknown, place: string): string[] {
  const texts = listOf(value)
  if (texts.length === 0) throw new PolicyError(`${place} is empty`)
  if (texts.length > maxValues) throw new PolicyError(`${place} has more than ${maxValues} entries`)
  return texts.map((text) => {
    if (typeof text !== 'string') throw new PolicyError(`${place} has an entry that is no text`)
    return text
  })
}

const listOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : value === undefined ? [] : [value]

/** A name of the document, as an error may quote it. */
const shown = (name: string): string => (/^[\w:/-]{1,64}$/.test(name) ? name : 'a name')
