import { choiceAt, listAt, objectAt, parseJson, positiveAt, type Tree, textAt } from './json.ts'
import { LifecyclePolicyError } from './policy-error.ts'

/** The rules by rising priority number: those that come first are applied first. */
export type LifecyclePolicy = { readonly rules: readonly LifecycleRule[] }

/** Expires images. There is one storage class here, so that a rule has nothing else to do. */
export type LifecycleRule = {
  readonly priority: number
  readonly description?: string
  readonly selection: TagSelection
  readonly limit: Limit
}

/** Each prefix, or each pattern, must be met by one of an image's tags. In patterns `*` is any run of characters. */
export type TagSelection =
  | { readonly tagStatus: 'any' }
  | { readonly tagStatus: 'untagged' }
  | { readonly tagStatus: 'tagged'; readonly prefixes: readonly string[] }
  | { readonly tagStatus: 'tagged'; readonly patterns: readonly string[] }

/** How many images stay, or for how many days they stay after they were pushed or pulled. */
export type Limit =
  | { readonly countType: 'imageCountMoreThan'; readonly count: number }
  | { readonly countType: 'sinceImagePushed' | 'sinceImagePulled'; readonly days: number }

const maxRules = 50
const maxTags = 100
const maxWildcards = 4

/**
 * Reads a policy as Amazon ECR takes it, and `sinceImagePulled` with `expire`, which Amazon ECR does not:
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
 * One that asks for more than expiring is refused whole. Throws `LifecyclePolicyError`.
 */
export function parseLifecyclePolicy(text: string): LifecyclePolicy {
  const policy = objectAt(parseJson(text), 'the policy', ['rules'])
  const rules = listAt(policy.rules, 'rules', maxRules).map((rule, index) => readRule(rule, `rules[${index}]`))
  checkAmongEachOther(rules)
  return { rules: rules.toSorted((one, other) => one.priority - other.priority) }
}

function readRule(value: unknown, place: string): LifecycleRule {
  const rule = objectAt(value, place, ['rulePriority', 'description', 'selection', 'action'])
  const { description } = rule
  const where = `${place}.selection`
  const selection = objectAt(rule.selection, where, selectionMembers)
  if (selection.storageClass !== undefined && selection.storageClass !== 'standard') {
    throw new LifecyclePolicyError(`${where}.storageClass is not standard, ${oneClass}`)
  }
  readAction(rule.action, `${place}.action`)
  return {
    priority: positiveAt(rule.rulePriority, `${place}.rulePriority`),
    ...(description !== undefined && { description: textAt(description, `${place}.description`) }),
    selection: readTags(selection, where),
    limit: readLimit(selection, where),
  }
}

const selectionMembers = [
  ...['tagStatus', 'tagPrefixList', 'tagPatternList', 'storageClass'],
  ...['countType', 'countUnit', 'countNumber'],
]

const oneClass = 'and no other storage class is supported here'

function readAction(value: unknown, place: string): void {
  const action = objectAt(value, place, ['type', 'targetStorageClass'])
  if (choiceAt(action.type, `${place}.type`, ['expire', 'transition']) === 'transition') {
    throw new LifecyclePolicyError(`${place}.type is not expire, ${oneClass}`)
  }
  if (action.targetStorageClass !== undefined) {
    throw new LifecyclePolicyError(`${place}.targetStorageClass does not go with expire`)
  }
}

function readTags(selection: Tree, place: string): TagSelection {
  const tagStatus = choiceAt(selection.tagStatus, `${place}.tagStatus`, ['tagged', 'untagged', 'any'])
  const { tagPrefixList: prefixes, tagPatternList: patterns } = selection
  if (tagStatus !== 'tagged') {
    const list = prefixes === undefined ? 'tagPatternList' : 'tagPrefixList'
    if (selection[list] === undefined) return { tagStatus }
    throw new LifecyclePolicyError(`${place}.${list} goes with tagStatus tagged only`)
  }
  if ((prefixes === undefined) === (patterns === undefined)) {
    throw new LifecyclePolicyError(`${place} needs one of tagPrefixList and tagPatternList, since tagStatus is tagged`)
  }
  if (patterns === undefined) return { tagStatus, prefixes: readList(prefixes, `${place}.tagPrefixList`) }
  const entries = readList(patterns, `${place}.tagPatternList`)
  const wild = entries.findIndex((pattern) => pattern.split('*').length - 1 > maxWildcards)
  if (wild < 0) return { tagStatus, patterns: entries }
  throw new LifecyclePolicyError(`${place}.tagPatternList[${wild}] has more than ${maxWildcards} wildcards`)
}

const readList = (value: unknown, place: string): string[] =>
  listAt(value, place, maxTags).map((entry, index) => {
    const text = textAt(entry, `${place}[${index}]`)
    if (text === '') throw new LifecyclePolicyError(`${place}[${index}] is empty`)
    return text
  })

function readLimit(selection: Tree, place: string): Limit {
  const countType = choiceAt(selection.countType, `${place}.countType`, [
    'imageCountMoreThan',
    'sinceImagePushed',
    'sinceImagePulled',
    'sinceImageTransitioned',
  ])
  if (countType === 'sinceImageTransitioned') {
    throw new LifecyclePolicyError(`${place}.countType is about images of another storage class, ${oneClass}`)
  }
  const number = positiveAt(selection.countNumber, `${place}.countNumber`)
  if (countType !== 'imageCountMoreThan') {
    choiceAt(selection.countUnit, `${place}.countUnit`, ['days'])
    return { countType, days: number }
  }
  if (selection.countUnit === undefined) return { countType, count: number }
  throw new LifecyclePolicyError(`${place}.countUnit does not go with imageCountMoreThan`)
}

/** Rules in the order of the text. */
function checkAmongEachOther(rules: readonly LifecycleRule[]): void {
  const last = Math.max(...rules.map(({ priority }) => priority))
  const seen = new Map<string, number>()
  const once = (what: string, index: number, message: (earlier: string) => string) => {
    const earlier = seen.get(what)
    if (earlier !== undefined) throw new LifecyclePolicyError(message(`rules[${earlier}]`))
    seen.set(what, index)
  }
  for (const [index, { priority, selection }] of rules.entries()) {
    const place = `rules[${index}]`
    once(`priority ${priority}`, index, (earlier) => `${place}.rulePriority is that of ${earlier}`)
    if (selection.tagStatus === 'untagged') {
      once('untagged', index, (earlier) => `${place}.selection selects untagged images, as ${earlier} does`)
    }
    if (selection.tagStatus === 'any' && priority !== last) {
      throw new LifecyclePolicyError(`${place}.rulePriority is not the highest number, since tagStatus is any`)
    }
    if ('prefixes' in selection) {
      const prefixes = JSON.stringify([...new Set(selection.prefixes)].sort())
      once(prefixes, index, (earlier) => `${place}.selection.tagPrefixList is that of ${earlier}`)
    }
  }
}
