import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { PolicyError } from './policy-error.ts'
import { arnMatches, isArnPattern, wildcardMatches } from './wildcard.ts'

/** What conditions are asked about. What is absent is not known. */
export type Facts = {
  /** The client's address, after trusted proxies. */
  sourceIp?: string | undefined
  /** Whether the client came over TLS. */
  secureTransport?: boolean | undefined
  principalArn?: string | undefined
  /** Those of the repository that is asked for. */
  resourceTags?: ReadonlyMap<string, string> | undefined
}

export type Condition = (facts: Facts) => boolean

type Predicate = (value: string) => boolean

/** How one value of the document is compared with one of the facts. Throws `PolicyError` for a value that is none. */
type Comparison = (value: string) => Predicate

type Subject = 'address' | 'arn' | 'boolean' | 'tag'

type Operator = { compare: Comparison; subjects: readonly Subject[]; negated?: true }

const texts = ['arn', 'tag'] as const
const equals: Comparison = (value) => (fact) => fact === value
const equalsIgnoringCase: Comparison = (value) => (fact) => fact.toLowerCase() === value.toLowerCase()
const like: Comparison = (value) => (fact) => wildcardMatches(value, fact)
const arnLike: Comparison = (value) => {
  if (value !== '*' && !isArnPattern(value)) throw new PolicyError('a value is no ARN')
  return (fact) => arnMatches(value, fact)
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html */
const operators: ReadonlyMap<string, Operator> = new Map([
  ['StringEquals', { compare: equals, subjects: texts }],
  ['StringNotEquals', { compare: equals, subjects: texts, negated: true }],
  ['StringEqualsIgnoreCase', { compare: equalsIgnoringCase, subjects: texts }],
  ['StringNotEqualsIgnoreCase', { compare: equalsIgnoringCase, subjects: texts, negated: true }],
  ['StringLike', { compare: like, subjects: texts }],
  ['StringNotLike', { compare: like, subjects: texts, negated: true }],
  ['ArnEquals', { compare: arnLike, subjects: ['arn'] }],
  ['ArnLike', { compare: arnLike, subjects: ['arn'] }],
  ['ArnNotEquals', { compare: arnLike, subjects: ['arn'], negated: true }],
  ['ArnNotLike', { compare: arnLike, subjects: ['arn'], negated: true }],
  ['Bool', { compare: sameBoolean, subjects: ['boolean'] }],
  ['IpAddress', { compare: withinNetwork, subjects: ['address'] }],
  ['NotIpAddress', { compare: withinNetwork, subjects: ['address'], negated: true }],
])

/**
 * One key under one operator: true where any of `values` fits, for a negated operator where none does. A fact that is
 * not known fits none. Throws `PolicyError` for operators, keys and values that are not evaluated here.
 */
export function compileCondition(name: string, key: string, values: readonly string[]): Condition {
  const operator = operators.get(name)
  if (!operator) throw new PolicyError('the operator is not evaluated here')
  const { subject, read } = factOf(key)
  if (!operator.subjects.includes(subject)) throw new PolicyError('the operator does not go with the key')
  const predicates = values.map((value) => operator.compare(value))
  const fits: Condition = (facts) => read(facts).some((fact) => predicates.some((predicate) => predicate(fact)))
  return operator.negated ? (facts) => !fits(facts) : fits
}

type Fact = { subject: Subject; read: (facts: Facts) => readonly string[] }

/** Keys are compared without regard to case, those of tags as well. */
function factOf(key: string): Fact {
  const name = key.toLowerCase()
  const tag = /^(?:aws|ecr):resourcetag\/(.{1,128})$/s.exec(name)?.[1]
  if (tag !== undefined) return { subject: 'tag', read: ({ resourceTags }) => tagValues(resourceTags, tag) }
  if (name === 'aws:sourceip') return { subject: 'address', read: ({ sourceIp }) => known(sourceIp) }
  if (name === 'aws:principalarn') return { subject: 'arn', read: ({ principalArn }) => known(principalArn) }
  if (name === 'aws:securetransport') {
    return { subject: 'boolean', read: ({ secureTransport }) => known(secureTransport?.toString()) }
  }
  throw new PolicyError('the key is not evaluated here')
}

const known = (value: string | undefined): string[] => (value === undefined ? [] : [value])

const tagValues = (tags: ReadonlyMap<string, string> = new Map(), name: string): string[] =>
  [...tags].filter(([key]) => key.toLowerCase() === name).map(([, value]) => value)

function sameBoolean(value: string): Predicate {
  const wanted = value.toLowerCase()
  if (wanted !== 'true' && wanted !== 'false') throw new PolicyError('a value is neither true nor false')
  return (fact) => fact === wanted
}

function withinNetwork(value: string): Predicate {
  const [text = '', length, ...rest] = value.split('/')
  const address = canonicalAddress(text)
  const whole = address?.family === 'ipv4' ? 32 : 128
  const bits = length === undefined ? whole : Number(/^\d{1,3}$/.exec(length)?.[0])
  const isMapped = address?.family === 'ipv4' && text.includes(':')
  if (!address || isMapped || rest.length > 0 || !(bits <= whole)) {
    throw new PolicyError('a value is no address and no network in CIDR form')
  }
  const network = new BlockList()
  network.addSubnet(address.text, bits, address.family)
  return (fact) => {
    const client = canonicalAddress(fact)
    return client !== undefined && client.family === address.family && network.check(client.text, client.family)
  }
}

/** An IPv4 address is the same one when it comes mapped into IPv6. */
function canonicalAddress(text: string): { text: string; family: 'ipv4' | 'ipv6' } | undefined {
  if (isIP(text) === 0) return undefined
  const address = ipaddr.process(text)
  return { text: address.toString(), family: address.kind() }
}
