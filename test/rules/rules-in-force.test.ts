import { mkdtempDisposable, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ApiRule } from '../../src/rules/api-rule.ts'
import { builtInRules } from '../../src/rules/built-in.ts'
import { plainRule } from '../../src/rules/plain-rule.ts'
import type { Rule } from '../../src/rules/rule.ts'
import { RuleBook } from '../../src/rules/rule-book.ts'
import { RuleFile } from '../../src/rules/rule-file.ts'
import { RulesInForce } from '../../src/rules/rules-in-force.ts'

const made = (prefix: string, more: Partial<ApiRule> = {}): ApiRule => ({
  prefix,
  upstream: 'https://api.example',
  upstreamRepositoryPrefix: 'ROOT',
  createdAt: 1,
  updatedAt: 1,
  ...more,
})

const fixed = plainRule({
  prefix: 'fixed',
  source: 'file',
  upstream: 'https://file.example',
  upstreamRepositoryPrefix: 'ROOT',
})

async function open() {
  const directory = await mkdtempDisposable(join(tmpdir(), 'cistern-rules-'))
  const path = join(directory.path, 'rules.json')
  const book = new RuleBook([])
  const retained: (readonly Rule[])[] = []
  const start = async () =>
    new RulesInForce({
      book,
      store: await RuleFile.open(path),
      configured: [...builtInRules, fixed],
      retain: (rules) => void retained.push(rules),
    })
  return {
    path,
    book,
    retained,
    start,
    rules: await start(),
    upstream: (prefix: string) => book.get(prefix)?.upstream,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

describe('rules of the API', () => {
  it('are in force at once, take the place of built-in ones, and give it back', async () => {
    await using given = await open()
    const quay = given.book.get('quay.io')

    await given.rules.create(made('quay.io', { credentialArn: 'arn:secret' }))
    expect(given.book.get('quay.io')).toMatchObject({ source: 'api', credential: { secretArn: 'arn:secret' } })
    expect(given.retained.at(-1)).not.toContain(quay)
    await given.rules.delete('quay.io')

    expect(given.upstream('quay.io')).toBe('https://quay.io')
  })

  it('outlive a restart, in a file of the owner alone', async () => {
    await using given = await open()
    await given.rules.create(made('team'))
    await given.rules.update('team', { credentialArn: 'arn:secret', updatedAt: 2 })
    given.book.replace([])

    const again = await given.start()

    expect(given.upstream('team')).toBe('https://api.example')
    expect(again.get('team')).toEqual({
      kind: 'api',
      rule: made('team', { credentialArn: 'arn:secret', updatedAt: 2 }),
    })
    expect((await stat(given.path)).mode & 0o777).toBe(0o600)
  })

  it('leave those of the file alone, and list them', async () => {
    await using given = await open()
    await given.rules.create(made('team'))

    await expect(given.rules.create(made('fixed'))).rejects.toMatchObject({ reason: 'exists' })
    await expect(given.rules.update('fixed', { updatedAt: 2 })).rejects.toMatchObject({ reason: 'fixed' })
    await expect(given.rules.delete('fixed')).rejects.toMatchObject({ reason: 'fixed' })
    await expect(given.rules.delete('quay.io')).rejects.toMatchObject({ reason: 'missing' })
    expect(given.rules.list().map(({ rule }) => rule.prefix)).toEqual(['fixed', 'team'])
  })

  it('are made once however many make them at a time, and no more than fifty', async () => {
    await using given = await open()
    const twice = await Promise.allSettled([given.rules.create(made('team')), given.rules.create(made('team'))])
    expect(twice.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])

    for (let n = 1; n < 50; n++) await given.rules.create(made(`p${n}`))
    await expect(given.rules.create(made('p50'))).rejects.toMatchObject({ reason: 'limit' })
  })

  it('keep the object of a rule that stays, so that its transfers go on', async () => {
    await using given = await open()
    await given.rules.create(made('team'))
    const team = given.book.get('team')
    await given.rules.create(made('other'))
    await given.rules.reload([fixed])

    expect(given.book.get('team')).toBe(team)
    expect(given.retained.at(-1)).toContain(team)
    expect(given.book.get('quay.io')).toBeUndefined()
  })

  it('are those from before the last change where the file is damaged', async () => {
    await using given = await open()
    await given.rules.create(made('first'))
    await given.rules.create(made('second'))
    await truncate(given.path, 10)

    await given.start()

    expect([given.upstream('first'), given.upstream('second')]).toEqual(['https://api.example', undefined])
    await writeFile(`${given.path}.previous`, '{}')
    await expect(given.start()).rejects.toThrow('is damaged')
  })

  it('change nothing where they cannot be written', async () => {
    await using given = await open()
    await given.rules.create(made('first'))
    const before = await readFile(given.path, 'utf8')
    const broken = new RulesInForce({
      book: given.book,
      store: {
        rules: [],
        write: async () => {
          throw new Error('no room')
        },
      },
      configured: [],
      retain: () => {},
    })

    await expect(broken.create(made('second'))).rejects.toThrow('no room')
    expect(given.upstream('second')).toBeUndefined()
    expect(await readFile(given.path, 'utf8')).toBe(before)
  })
})
