import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { builtInPolicies } from '../../src/access/built-in-policies.ts'
import { type Decision, decide, type Question } from '../../src/access/policy.ts'
import { anonymous, isUserName, keyUser, passwordUser } from '../../src/access/principal.ts'
import {
  accountId,
  alice,
  allow,
  allowing,
  ask,
  bob,
  deny,
  denying,
  policy,
  registry,
  repository,
  repositoryArn,
  user,
} from './asking.ts'

const ecr = `arn:aws:ecr:us-east-1:${accountId}:repository`
const root = `arn:aws:iam::${accountId}:root`
const when = (Condition: object) => user(allow({ Condition }))
const unless = (Condition: object) => user(allow(), deny({ Condition }))
const from = (sourceIp: string): Partial<Question> => ({ context: { sourceIp } })
const over = (secureTransport: boolean): Partial<Question> => ({ context: { secureTransport } })
const tagged = (...tags: [string, string][]): Partial<Question> => ({ context: { resourceTags: new Map(tags) } })
const as = (principal: Question['principal']): Partial<Question> => ({ principal })

type Row = [name: string, decision: Decision, ...question: Partial<Question>[]]

function table(title: string, rows: Row[]): void {
  describe(title, () => {
    it.each(rows)('%s: %s', (_, decision, ...question) => {
      expect(ask(...question)).toBe(decision)
    })
  })
}

table('the documents of a user', [
  ['nothing is said', 'none'],
  ['allowed', 'allow', user(allow())],
  ['denied', 'deny', user(deny())],
  ['allowed and denied in one document', 'deny', user(allow(), deny())],
  ['denied before it is allowed', 'deny', user(deny(), allow())],
  ['allowed in one document and denied in another', 'deny', { identity: [policyOf(allow()), policyOf(deny())] }],
  ['allowed in the second document', 'allow', { identity: [policyOf(allow({ Action: 'ecr:X' })), policyOf(allow())] }],
  ['a single statement without a list', 'allow', user(allow())],
])

table('actions', [
  ['the very action', 'allow', user(allow({ Action: 'ecr:BatchGetImage' }))],
  ['in another case', 'allow', user(allow({ Action: 'ECR:batchgetimage' }))],
  ['one of a list', 'allow', user(allow({ Action: ['ecr:PutImage', 'ecr:BatchGetImage'] }))],
  ['another', 'none', user(allow({ Action: 'ecr:PutImage' }))],
  ['a beginning of it', 'none', user(allow({ Action: 'ecr:BatchGet' }))],
  ['its beginning and a star', 'allow', user(allow({ Action: 'ecr:BatchGet*' }))],
  ['a star in the middle', 'allow', user(allow({ Action: 'ecr:B*Image' }))],
  ['question marks', 'allow', user(allow({ Action: 'ecr:BatchGetI????' }))],
  ['a question mark too many', 'none', user(allow({ Action: 'ecr:BatchGetImage?' }))],
  ['everything', 'allow', user(allow({ Action: '*' }))],
  ['everything of the service in another case', 'allow', user(allow({ Action: 'EcR:*' }))],
  ['a star for the service is no pattern of it', 'none', user(allow({ Action: 'e:*' }))],
  ['another service', 'none', user(allow({ Action: 'secretsmanager:*' }))],
  ['not another', 'allow', user(allow({ Action: undefined, NotAction: 'ecr:PutImage' }))],
  ['not this one', 'none', user(allow({ Action: undefined, NotAction: 'ecr:Batch*' }))],
  ['denied whatever is not another', 'deny', user(allow(), deny({ Action: undefined, NotAction: 'ecr:PutImage' }))],
  ['spared from what is denied', 'allow', user(allow(), deny({ Action: undefined, NotAction: 'ecr:BatchGetImage' }))],
])

table('resources', [
  ['the very repository', 'allow', user(allow({ Resource: repositoryArn }))],
  ['another', 'none', user(allow({ Resource: `${ecr}/quay.io/x` }))],
  ['in another case', 'none', user(allow({ Resource: repositoryArn.replace('nginx', 'Nginx') }))],
  ['a prefix and a star', 'allow', user(allow({ Resource: `${ecr}/docker.io/*` }))],
  ['a prefix without a star', 'none', user(allow({ Resource: `${ecr}/docker.io` }))],
  ['any region', 'allow', user(allow({ Resource: `arn:aws:ecr:*:${accountId}:repository/*` }))],
  ['without a region', 'none', user(allow({ Resource: repositoryArn.replace('us-east-1', '') }))],
  ['another partition', 'none', user(allow({ Resource: repositoryArn.replace('arn:aws:', 'arn:aws-cn:') }))],
  ['a star in the middle', 'allow', user(allow({ Resource: `${ecr}/*/nginx` }))],
  ['a star for the service', 'allow', user(allow({ Resource: `arn:aws:*:*:*:*` }))],
  ['another region', 'none', user(allow({ Resource: `arn:aws:ecr:eu-*:${accountId}:repository/*` }))],
  ['another account', 'none', user(allow({ Resource: 'arn:aws:ecr:*:999999999999:*' }))],
  ['a star does not reach over a colon', 'none', user(allow({ Resource: 'arn:*:us-east-1:*:*:*' }))],
  ['one of a list', 'allow', user(allow({ Resource: [`${ecr}/x`, repositoryArn] }))],
  ['not another', 'allow', user(allow({ Resource: undefined, NotResource: `${ecr}/x` }))],
  ['not this one', 'none', user(allow({ Resource: undefined, NotResource: `${ecr}/docker.io/*` }))],
  ['no resource and everything', 'allow', user(allow()), { resource: '*' }],
  ['no resource and all repositories', 'none', user(allow({ Resource: `${ecr}/*` })), { resource: '*' }],
  [
    'a star in what is asked for is a letter',
    'none',
    user(allow({ Resource: repositoryArn })),
    { resource: `${ecr}/*` },
  ],
  [
    'a secret, whose part holds a colon',
    'allow',
    user(allow({ Action: '*', Resource: 'arn:aws:secretsmanager:*:*:secret:ecr-*' })),
    {
      action: 'secretsmanager:GetSecretValue',
      resource: `arn:aws:secretsmanager:us-east-1:${accountId}:secret:ecr-pullthroughcache/hub-AbCdEf`,
    },
  ],
])

table('the policy of a repository', [
  ['names the user', 'allow', repository(allowing(alice.arn))],
  ['names another', 'none', repository(allowing(bob.arn))],
  ['names several', 'allow', repository(allowing([bob.arn, alice.arn]))],
  ['names everybody', 'allow', repository(allowing('*'))],
  ['names everybody among others', 'allow', repository(allowing([bob.arn, '*']))],
  ['names everybody in short', 'allow', repository({ ...allowing('x'), Principal: '*' })],
  ['names the account, which leaves it to the user', 'none', repository(allowing(root))],
  ['names the account by number', 'none', repository(allowing(accountId))],
  ['names the account and the user allows', 'allow', repository(allowing(root)), user(allow())],
  ['denies the user', 'deny', repository(denying(alice.arn)), user(allow())],
  ['denies another', 'allow', repository(denying(bob.arn)), user(allow())],
  ['denies everybody', 'deny', repository(denying('*')), user(allow({ Action: '*' }))],
  ['denies the account', 'deny', repository(denying(root)), user(allow())],
  ['denies another account', 'allow', repository(denying('999999999999')), user(allow())],
  ['denies a role', 'allow', repository(denying(`arn:aws:iam::${accountId}:role/alice`)), user(allow())],
  ['denies all but the user', 'allow', repository(denyingAllBut(alice.arn)), user(allow())],
  ['denies all but another', 'deny', repository(denyingAllBut(bob.arn)), user(allow())],
  ['denies all but the account', 'deny', repository(denyingAllBut(root)), user(allow())],
  ['denies all but account and user', 'allow', repository(denyingAllBut(root, alice.arn)), user(allow())],
  ['denies another action', 'allow', repository(denying('*', { Action: 'ecr:PutImage' })), user(allow())],
  ['allows, and the user is denied', 'deny', repository(allowing(alice.arn)), user(deny())],
  ['allows and denies', 'deny', repository(allowing('*'), denying(alice.arn))],
  [
    'allows the user under a condition',
    'none',
    repository(allowing(alice.arn, { Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } })),
    from('192.0.2.1'),
  ],
])

table('the policy of the registry', [
  ['names the user', 'allow', registry(allowing(alice.arn, { Resource: `${ecr}/docker.io/*` }))],
  ['names other repositories', 'none', registry(allowing(alice.arn, { Resource: `${ecr}/quay.io/*` }))],
  ['denies what the repository allows', 'deny', registry(denying('*', { Resource: '*' })), repository(allowing('*'))],
  ['is denied by the repository', 'deny', registry(allowing('*', { Resource: '*' })), repository(denying('*'))],
  ['denies all other resources', 'deny', registry({ ...denying('*'), NotResource: `${ecr}/x` }), user(allow())],
])

const fileAlice = passwordUser(accountId, 'alice')

table('principals', [
  ['nobody is nobody', 'none', as(anonymous)],
  ['everybody is nobody, too', 'allow', as(anonymous), repository(allowing('*'))],
  ['an account is not nobody', 'none', as(anonymous), repository(allowing(root))],
  ['nobody is denied with everybody', 'deny', as(anonymous), user(allow()), repository(denying('*'))],
  ['nobody is not of the account', 'allow', as(anonymous), user(allow()), repository(denying(root))],
  ['nobody is not spared', 'deny', as(anonymous), user(allow()), repository(denyingAllBut(alice.arn))],
  ['nobody has what is given to nobody', 'allow', as(anonymous), user(allow())],
  ['a user of the file is no user of a key', 'none', as(fileAlice), repository(allowing(alice.arn))],
  [
    'a user of the file has an ARN',
    'allow',
    as(fileAlice),
    repository(allowing(`arn:aws:iam::${accountId}:user/htpasswd/alice`)),
  ],
])

table('strings', [
  ['equal', 'allow', when({ StringEquals: { 'aws:ResourceTag/team': 'web' } }), tagged(['team', 'web'])],
  ['unequal', 'none', when({ StringEquals: { 'aws:ResourceTag/team': 'web' } }), tagged(['team', 'ops'])],
  ['in another case', 'none', when({ StringEquals: { 'aws:ResourceTag/team': 'web' } }), tagged(['team', 'Web'])],
  [
    'any of several',
    'allow',
    when({ StringEquals: { 'aws:ResourceTag/team': ['ops', 'web'] } }),
    tagged(['team', 'web']),
  ],
  ['without the tag', 'none', when({ StringEquals: { 'aws:ResourceTag/team': 'web' } }), tagged(['other', 'web'])],
  ['without any tags', 'none', when({ StringEquals: { 'aws:ResourceTag/team': 'web' } })],
  ["ECR's own key", 'allow', when({ StringEquals: { 'ecr:ResourceTag/team': 'web' } }), tagged(['team', 'web'])],
  [
    'the key in another case',
    'allow',
    when({ StringEquals: { 'AWS:resourcetag/Team': 'web' } }),
    tagged(['teaM', 'web']),
  ],
  [
    'a star in StringEquals is a letter',
    'none',
    when({ StringEquals: { 'aws:ResourceTag/team': 'w*' } }),
    tagged(['team', 'web']),
  ],
  ['StringLike', 'allow', when({ StringLike: { 'aws:ResourceTag/team': 'w?*' } }), tagged(['team', 'web'])],
  [
    'StringLike of something else',
    'none',
    when({ StringLike: { 'aws:ResourceTag/team': 'w?' } }),
    tagged(['team', 'web']),
  ],
  ['StringNotEquals', 'deny', unless({ StringNotEquals: { 'aws:ResourceTag/team': 'web' } }), tagged(['team', 'ops'])],
  [
    'StringNotEquals of an equal',
    'allow',
    unless({ StringNotEquals: { 'aws:ResourceTag/team': 'web' } }),
    tagged(['team', 'web']),
  ],
  [
    'StringNotEquals of any of several',
    'allow',
    unless({ StringNotEquals: { 'aws:ResourceTag/team': ['ops', 'web'] } }),
    tagged(['team', 'web']),
  ],
  ['StringNotEquals without the tag', 'deny', unless({ StringNotEquals: { 'aws:ResourceTag/team': 'web' } })],
  ['StringNotLike', 'deny', unless({ StringNotLike: { 'aws:ResourceTag/team': 'w*' } }), tagged(['team', 'ops'])],
  [
    'StringNotLike of a like',
    'allow',
    unless({ StringNotLike: { 'aws:ResourceTag/team': 'w*' } }),
    tagged(['team', 'web']),
  ],
  [
    'StringEqualsIgnoreCase',
    'allow',
    when({ StringEqualsIgnoreCase: { 'aws:ResourceTag/team': 'WEB' } }),
    tagged(['team', 'web']),
  ],
  [
    'StringNotEqualsIgnoreCase',
    'allow',
    unless({ StringNotEqualsIgnoreCase: { 'aws:ResourceTag/team': 'WEB' } }),
    tagged(['team', 'web']),
  ],
  [
    'all keys must fit',
    'none',
    when({ StringEquals: { 'aws:ResourceTag/a': '1', 'aws:ResourceTag/b': '2' } }),
    tagged(['a', '1']),
  ],
  [
    'all operators must fit',
    'none',
    when({ StringEquals: { 'aws:ResourceTag/a': '1' }, StringLike: { 'aws:ResourceTag/a': '2*' } }),
    tagged(['a', '1']),
  ],
  [
    'all of them do',
    'allow',
    when({ StringEquals: { 'aws:ResourceTag/a': '1' }, StringLike: { 'aws:ResourceTag/b': '2*' } }),
    tagged(['a', '1'], ['b', '22']),
  ],
  ['a tag named like the prototype', 'none', when({ StringEquals: { 'aws:ResourceTag/__proto__': 'x' } }), tagged()],
])

table('ARNs of principals', [
  ['ArnEquals', 'allow', when({ ArnEquals: { 'aws:PrincipalArn': alice.arn } })],
  ['ArnLike', 'allow', when({ ArnLike: { 'aws:PrincipalArn': `arn:aws:iam::${accountId}:user/a*` } })],
  ['ArnLike of another', 'none', when({ ArnLike: { 'aws:PrincipalArn': `arn:aws:iam::${accountId}:user/b*` } })],
  ['ArnLike keeps to the parts', 'none', when({ ArnLike: { 'aws:PrincipalArn': 'arn:aws:*:user/alice:x:y:*' } })],
  ['ArnNotEquals spares', 'allow', unless({ ArnNotEquals: { 'aws:PrincipalArn': alice.arn } })],
  ['ArnNotLike denies the rest', 'deny', unless({ ArnNotLike: { 'aws:PrincipalArn': alice.arn } }), as(bob)],
  [
    'ArnNotEquals denies nobody, too',
    'deny',
    unless({ ArnNotEquals: { 'aws:PrincipalArn': alice.arn } }),
    as(anonymous),
  ],
  ['StringEquals', 'allow', when({ StringEquals: { 'aws:PrincipalArn': alice.arn } })],
  ['StringLike for nobody', 'none', when({ StringLike: { 'aws:PrincipalArn': '*' } }), as(anonymous)],
])

table('TLS', [
  ['demanded and there', 'allow', when({ Bool: { 'aws:SecureTransport': 'true' } }), over(true)],
  ['demanded and not there', 'none', when({ Bool: { 'aws:SecureTransport': 'true' } }), over(false)],
  ['denied without', 'deny', unless({ Bool: { 'aws:SecureTransport': false } }), over(false)],
  ['not known', 'none', when({ Bool: { 'aws:SecureTransport': 'false' } })],
])

const inside = { IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'] } }
const outside = { NotIpAddress: inside.IpAddress }

table('F89: addresses', [
  ['within the network', 'allow', when(inside), from('10.200.3.4')],
  ['mapped into IPv6', 'allow', when(inside), from('::ffff:10.200.3.4')],
  ['mapped in hexadecimal', 'allow', when(inside), from('::ffff:ac8:304')],
  ['the one address', 'allow', when(inside), from('192.0.2.7')],
  ['the next address', 'none', when(inside), from('192.0.2.8')],
  ['beyond the network', 'none', when(inside), from('11.0.0.1')],
  ['IPv6 within', 'allow', when(inside), from('2001:db8:1::9')],
  ['IPv6 beyond', 'none', when(inside), from('2001:db9::9')],
  ['of an interface', 'allow', when({ IpAddress: { 'aws:SourceIp': 'fe80::/10' } }), from('fe80::1%eth0')],
  ['any IPv4', 'allow', when({ IpAddress: { 'aws:SourceIp': '0.0.0.0/0' } }), from('192.0.2.1')],
  ['any IPv4 is no IPv6', 'none', when({ IpAddress: { 'aws:SourceIp': '0.0.0.0/0' } }), from('2001:db8::1')],
  ['any IPv6 is no mapped IPv4', 'none', when({ IpAddress: { 'aws:SourceIp': '::/0' } }), from('::ffff:192.0.2.1')],
  ['bits of the host do not count', 'allow', when({ IpAddress: { 'aws:SourceIp': '10.1.2.3/8' } }), from('10.9.9.9')],
  ['unknown', 'none', when(inside)],
  ['no address', 'none', when(inside), from('10.0.0.1, 192.0.2.1')],
  ['a number that stands for an address', 'none', when(inside), from('167772161')],
  ['denied from outside', 'deny', unless(outside), from('192.0.2.1')],
  ['mapped, not from outside', 'allow', unless(outside), from('::ffff:10.0.0.1')],
  ['denied where unknown', 'deny', unless(outside)],
  ['denied where it is no address', 'deny', unless(outside), from('unknown')],
])

describe('built-in policies', () => {
  const can = (name: string, action: string) => {
    const document = builtInPolicies.get(name)
    return ask({ identity: document ? [document] : [], action }) === 'allow'
  }

  it.each([
    ['AdministratorAccess', true, true, true, true, true],
    ['AmazonEC2ContainerRegistryFullAccess', true, true, true, true, false],
    ['AmazonEC2ContainerRegistryPowerUser', true, true, true, false, false],
    ['AmazonEC2ContainerRegistryReadOnly', true, true, false, false, false],
    ['AmazonEC2ContainerRegistryPullOnly', true, false, false, false, false],
    ['AmazonEC2ContainerRegistryEverything', false, false, false, false, false],
  ])('%s', (name, pulls, lists, pushes, rules, all) => {
    const pulling = ['GetAuthorizationToken', 'BatchGetImage', 'GetDownloadUrlForLayer', 'BatchImportUpstreamImage']
    for (const action of pulling) expect(can(name, `ecr:${action}`)).toBe(pulls)
    expect(can(name, 'ecr:DescribeImages')).toBe(lists)
    expect(can(name, 'ecr:PutImage')).toBe(pushes)
    for (const action of [
      'CreatePullThroughCacheRule',
      'CreateRepository',
      'PutImageTagMutability',
      'SetRepositoryPolicy',
      'TagResource',
      'DeleteRepository',
      'BatchDeleteImage',
    ]) {
      expect(can(name, `ecr:${action}`)).toBe(rules)
    }
    expect(can(name, 'secretsmanager:CreateSecret')).toBe(all)
  })
})

describe('names of users', () => {
  it.each(['alice', 'a.b+c=d,e@f-g_h', 'x'.repeat(64)])('may be %s', (name) => expect(isUserName(name)).toBe(true))

  it.each(['', 'htpasswd/alice', 'a b', 'a:b', '*', 'é', 'a\n', 'x'.repeat(65)])('may not be %j', (name) =>
    expect(isUserName(name)).toBe(false),
  )

  it('stand in ARNs and log lines', () => {
    expect(keyUser(accountId, { id: 'AKIA', user: 'ci' })).toEqual({
      ...{ kind: 'key', keyId: 'AKIA', name: 'user/ci', accountId },
      arn: `arn:aws:iam::${accountId}:user/ci`,
    })
    expect(fileAlice.name).toBe('user/htpasswd/alice')
  })
})

describe('whatever is said', () => {
  const effect = fc.constantFrom('Allow', 'Deny')
  const actions = fc.constantFrom('*', 'ecr:*', 'ecr:Batch*', 'ecr:PutImage')
  const resources = fc.constantFrom('*', repositoryArn, `${ecr}/docker.io/*`, `${ecr}/x`)
  const condition = fc.constantFrom<object | undefined>(
    undefined,
    { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } },
    { StringNotEquals: { 'aws:ResourceTag/team': 'web' } },
    { ArnLike: { 'aws:PrincipalArn': `arn:aws:iam::${accountId}:user/a*` } },
  )
  const own = fc.record({ Effect: effect, Action: actions, Resource: resources, Condition: condition })
  const who = fc.constantFrom('*', alice.arn, bob.arn, accountId)
  const theirs = fc.record({
    Effect: effect,
    Principal: fc.record({ AWS: who }),
    Action: actions,
    Condition: condition,
  })
  const documents = fc.record({
    identity: fc.array(own, { minLength: 1, maxLength: 4 }),
    repository: fc.array(theirs, { minLength: 1, maxLength: 4 }),
    principal: fc.constantFrom(alice, bob, anonymous),
    sourceIp: fc.constantFrom('10.0.0.1', '::ffff:10.0.0.1', 'x', undefined),
  })

  const decided = ({ identity, repository: theirs, principal, sourceIp }: Arbitrary) =>
    ask(user(...identity), repository(...theirs), { principal, context: { sourceIp } })
  type Arbitrary = typeof documents extends fc.Arbitrary<infer T> ? T : never

  it('one more Deny of all wins', () => {
    fc.assert(
      fc.property(documents, (some) => {
        expect(decided({ ...some, identity: [...some.identity, { ...deny(), Condition: undefined } as never] })).toBe(
          'deny',
        )
        expect(decided({ ...some, repository: [denying('*') as never, ...some.repository] })).toBe('deny')
      }),
    )
  })

  it('one more Allow undoes no Deny, and one more Deny makes no Allow', () => {
    fc.assert(
      fc.property(documents, own, (some, more) => {
        const before = decided(some)
        const after = decided({ ...some, identity: [...some.identity, more] })
        if (more.Effect === 'Allow') expect([before, 'allow']).toContain(after)
        else expect([before, 'deny']).toContain(after)
        if (before === 'deny') expect(after).toBe('deny')
      }),
    )
  })

  it('without an Allow nobody may', () => {
    fc.assert(
      fc.property(documents, ({ identity, repository: theirs, ...some }) => {
        const denials = <T extends { Effect: string }>(all: T[]) => all.map((one) => ({ ...one, Effect: 'Deny' }))
        expect(decided({ ...some, identity: denials(identity), repository: denials(theirs) })).not.toBe('allow')
      }),
    )
  })

  it('is decided for whatever is asked', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (action, resource, sourceIp) => {
        const identity = [policy('identity', allow({ Action: 'ecr:*', Resource: repositoryArn }))]
        const question = { principal: alice, action, resource, context: { sourceIp }, identity }
        expect(decide(question)).toBe('none')
      }),
    )
  })
})

function policyOf(statement: object) {
  return policy('identity', statement)
}

function denyingAllBut(...AWS: string[]) {
  return { Effect: 'Deny', NotPrincipal: { AWS }, Action: 'ecr:*' }
}
