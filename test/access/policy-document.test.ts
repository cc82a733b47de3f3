import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type PolicyKind, parsePolicy } from '../../src/access/policy-document.ts'
import { PolicyError } from '../../src/access/policy-error.ts'
import { arnMatches, wildcardMatches } from '../../src/access/wildcard.ts'
import { accountId, allow, allowing, deny } from './asking.ts'

const documentOf = (statement: unknown) => JSON.stringify({ Version: '2012-10-17', Statement: statement })
const conditionOf = (Condition: unknown) => documentOf(allow({ Condition }))

const refused = (text: string, kind: PolicyKind = 'identity') => {
  try {
    parsePolicy(text, kind)
  } catch (error) {
    if (error instanceof PolicyError) return error.message
    throw error
  }
  return 'taken'
}

describe('a document', () => {
  it.each<[string, PolicyKind, object]>([
    ['of a user', 'identity', { Version: '2012-10-17', Id: 'x', Statement: [allow({ Sid: 'y' }), deny()] }],
    ['of old', 'identity', { Version: '2008-10-17', Statement: allow() }],
    ['without a version', 'identity', { Statement: [allow()] }],
    ['of a repository', 'repository', { Statement: [allowing('*'), allowing([accountId])] }],
    ['of a repository for a role', 'repository', { Statement: allowing(`arn:aws:iam::${accountId}:role/a/b`) }],
    ['of the registry', 'registry', { Statement: allowing('*', { Resource: '*' }) }],
    ['that speaks of other services', 'identity', { Statement: allow({ Action: ['s3:Get*', 'iam:*'] }) }],
    ['with an empty condition', 'identity', { Statement: allow({ Condition: {} }) }],
  ])('is taken: %s', (_, kind, document) => {
    expect(refused(JSON.stringify(document), kind)).toBe('taken')
  })

  it.each<[string, string, PolicyKind?]>([
    ['', 'not JSON'],
    ['{', 'not JSON'],
    ['"x"', 'no object'],
    ['[]', 'no object'],
    ['null', 'no object'],
    ['{}', 'Statement is missing'],
    [documentOf([]), 'Statement is missing'],
    [JSON.stringify({ Version: '2020-01-01', Statement: allow() }), 'Version'],
    [JSON.stringify({ Version: null, Statement: allow() }), 'Version'],
    [JSON.stringify({ Id: 7, Statement: allow() }), 'Id'],
    [JSON.stringify({ statement: allow() }), 'statement is not evaluated here'],
    ['{"__proto__":{"Statement":[]}}', '__proto__ is not evaluated here'],
    [documentOf('x'), 'Statement[0] is no object'],
    [documentOf([allow(), [allow()]]), 'Statement[1] is no object'],
    [documentOf(allow({ Effect: 'allow' })), 'Effect'],
    [documentOf(allow({ Effect: undefined })), 'Effect'],
    [documentOf(allow({ Sid: {} })), 'Sid'],
    [documentOf(allow({ Actions: 'x' })), 'Statement[0]: Actions is not evaluated here'],
    [documentOf(allow({ Action: undefined })), 'lacks an Action'],
    [documentOf(allow({ Action: [] })), 'Action is empty'],
    [documentOf(allow({ Action: null })), 'no text'],
    [documentOf(allow({ Action: 'ecr' })), 'Action has an entry'],
    [documentOf(allow({ Action: 'ecr:' })), 'Action has an entry'],
    [documentOf(allow({ Action: '*:*' })), 'Action has an entry'],
    [documentOf(allow({ Action: ['ecr:*', 7] })), 'no text'],
    [documentOf(allow({ NotAction: 'ecr:*' })), 'Action and NotAction'],
    [documentOf(allow({ Resource: undefined })), 'lacks a Resource'],
    [documentOf(allow({ Resource: 'docker.io/*' })), 'Resource has an entry'],
    [documentOf(allow({ Resource: 'arn:aws:ecr:*' })), 'Resource has an entry'],
    [documentOf(allow({ Resource: `arn:aws:ecr:*:*:repository/\${aws:username}` })), 'Resource has an entry'],
    [documentOf(allow({ NotResource: '*' })), 'Resource and NotResource'],
    [documentOf(allow({ Principal: '*' })), 'must not name a Principal'],
    [documentOf(allow()), 'lacks a Principal', 'registry'],
    [documentOf(allowing('*')), 'lacks a Resource', 'registry'],
    [documentOf(allowing('*', { Resource: '*' })), 'must not name a Resource', 'repository'],
    [documentOf({ Effect: 'Allow', Action: '*' }), 'lacks a Principal', 'repository'],
    [documentOf(allowing('*', { Principal: 'alice' })), 'Principal is no object', 'repository'],
    [documentOf(allowing('*', { Principal: {} })), 'AWS is empty', 'repository'],
    [documentOf(allowing('*', { Principal: { Service: 'lambda.amazonaws.com' } })), 'Service is not', 'repository'],
    [documentOf(allowing('*', { Principal: { AWS: '*', Federated: 'x' } })), 'Federated is not', 'repository'],
    [documentOf(allowing('arn:aws:iam::*:root')), 'neither *, an account', 'repository'],
    [documentOf(allowing(`arn:aws:iam::${accountId}:user/*`)), 'neither *, an account', 'repository'],
    [documentOf(allowing('alice')), 'neither *, an account', 'repository'],
    [documentOf({ Effect: 'Allow', NotPrincipal: '*', Action: '*' }), 'Deny only', 'repository'],
    [documentOf(allowing('*', { NotPrincipal: '*' })), 'Principal and NotPrincipal', 'repository'],
    [documentOf(Array(101).fill(allow())), 'more than 100'],
    [documentOf(allow({ Action: Array(201).fill('a:b') })), 'more than 200'],
    [' '.repeat(10_241), 'longer than 10240'],
  ])('is refused: %s', (text, message, kind) => {
    expect(refused(text, kind)).toContain(message)
  })

  it.each([
    ['Effect', '{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}'],
    ['an operator', conditionOf({ Bool: {} }).replace('"Bool":{}', '"Bool":{"aws:SecureTransport":"true"},"Bool":{}')],
    ['a key in other letters', '{"Statement":{"Effect":"Deny","\\u0045ffect":"Allow","Action":"*","Resource":"*"}}'],
    ['Statement', '{"Statement":[{"Effect":"Deny"}] , "Statement" : []}'],
  ])('is refused with two of %s, one of which would be lost', (_, text) => {
    expect(refused(text)).toBe('the document has a key twice')
  })

  it('may have text that looks like keys', () => {
    const text = documentOf(allow({ Sid: 'a":"b', Condition: { StringEquals: { 'aws:ResourceTag/x': '\\":' } } }))
    expect(refused(text)).toBe('taken')
  })
})

describe('a condition that is not evaluated here refuses the document', () => {
  it.each<[unknown, string]>([
    ['x', 'Condition is no object'],
    [null, 'Condition is no object'],
    [{ StringEquals: 'x' }, 'Condition.StringEquals is no object'],
    [{ 'ForAllValues:StringEquals': { 'aws:ResourceTag/x': 'y' } }, 'operator is not evaluated'],
    [{ 'ForAnyValue:StringLike': { 'aws:ResourceTag/x': 'y' } }, 'operator is not evaluated'],
    [{ StringEqualsIfExists: { 'aws:ResourceTag/x': 'y' } }, 'operator is not evaluated'],
    [{ Null: { 'aws:ResourceTag/x': 'true' } }, 'operator is not evaluated'],
    [{ NumericLessThan: { 'aws:ResourceTag/x': '1' } }, 'operator is not evaluated'],
    [{ toString: { 'aws:ResourceTag/x': '1' } }, 'operator is not evaluated'],
    [{ StringEquals: { 'aws:RequestTag/x': 'y' } }, 'key is not evaluated'],
    [{ StringEquals: { 'aws:ResourceTag/': 'y' } }, 'key is not evaluated'],
    [{ StringEquals: { 'aws:username': 'y' } }, 'key is not evaluated'],
    [{ StringEquals: { 'aws:SourceIp': '10.0.0.1' } }, 'does not go with the key'],
    [{ IpAddress: { 'aws:PrincipalArn': '10.0.0.1' } }, 'does not go with the key'],
    [{ ArnLike: { 'aws:ResourceTag/x': '*' } }, 'does not go with the key'],
    [{ Bool: { 'aws:SecureTransport': 'yes' } }, 'neither true nor false'],
    [{ ArnLike: { 'aws:PrincipalArn': 'user/alice' } }, 'no ARN'],
    [{ StringEquals: { 'aws:ResourceTag/x': `\${aws:username}` } }, 'variables'],
    [{ StringEquals: { 'aws:ResourceTag/x': [] } }, 'is empty'],
    [{ StringEquals: { 'aws:ResourceTag/x': { y: 'z' } } }, 'no text'],
    ...['10.0.0.0/33', '10.0.0/8', '10.0.0.0/8/8', '10.0.0.0/', '10.0.0.0/-1', '0x0a.0.0.0/8', 'x', ''].map(
      (value): [unknown, string] => [{ IpAddress: { 'aws:SourceIp': value } }, 'no address and no network'],
    ),
    [{ IpAddress: { 'aws:SourceIp': '::ffff:10.0.0.0/104' } }, 'no address and no network'],
    [{ IpAddress: { 'aws:SourceIp': '::ffff:10.0.0.0/24' } }, 'no address and no network'],
    [{ NotIpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '::/129'] } }, 'no address and no network'],
  ])('%j', (condition, message) => {
    expect(refused(conditionOf(condition))).toContain(message)
  })

  it('and says where, without its values', () => {
    const condition = { StringEquals: { 'aws:ResourceTag/x': 'y' }, IpAddress: { 'aws:SourceIp': 'canary' } }
    expect(refused(documentOf([allow(), allow({ Condition: condition })]))).toBe(
      'Statement[1].Condition.IpAddress.aws:SourceIp: a value is no address and no network in CIDR form',
    )
  })
})

describe('whatever is put', () => {
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('Allow', '*', 'ecr:*', 'x', null, true, 7),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom(
          'Statement',
          'Effect',
          'Action',
          'Resource',
          'Principal',
          'AWS',
          'Condition',
          'StringLike',
          '__proto__',
        ),
        tie('value'),
        { maxKeys: 5 },
      ),
    ),
  }))

  it('is taken or refused', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          json.value.map((value) => JSON.stringify(value)),
        ),
        (text) => {
          for (const kind of ['identity', 'repository', 'registry'] as const)
            expect(refused(text, kind)).toBeTypeOf('string')
        },
      ),
    )
  })

  it('may be nested as deep as its length allows', () => {
    expect(refused('['.repeat(5_000) + ']'.repeat(5_000))).toBe('the document is no object')
    const deep = `{"Statement":${'{"Condition":'.repeat(700)}1${'}'.repeat(701)}`
    expect(refused(deep)).toContain('Statement[0]')
  })
})

describe('wildcards', () => {
  it.each([
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['**', 'abc', true],
    ['?', '', false],
    ['a*b*c', 'abbc', true],
    ['a*b*c', 'abbcd', false],
    ['*a?', 'aab', true],
    ['*.b', 'a.b.b', true],
    ['a', 'A', false],
    ['[a]', 'a', false],
    ['.', 'a', false],
  ])('%j and %j: %s', (pattern, text, expected) => {
    expect(wildcardMatches(pattern, text)).toBe(expected)
  })

  it('agree with regular expressions', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '.'), maxLength: 8 })
    fc.assert(
      fc.property(letters, letters, (pattern, text) => {
        const form = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')
        expect(wildcardMatches(pattern, text)).toBe(new RegExp(`^${form}$`, 's').test(text))
      }),
    )
  })

  it('come to an end where every split of the text would have to be tried', () => {
    expect(wildcardMatches(`${'*a'.repeat(250)}b`, 'a'.repeat(2_000))).toBe(false)
  })

  it('keep to the parts of an ARN', () => {
    expect(arnMatches('arn:aws:ecr:*:*:repository/*', 'arn:aws:ecr:x:y:repository/a:b')).toBe(true)
    expect(arnMatches('arn:aws:*:repository/x:z:*', 'arn:aws:ecr:x:y:repository/a')).toBe(false)
    expect(arnMatches('arn:aws:ecr', 'arn:aws:ecr:x:y:z')).toBe(false)
  })
})
