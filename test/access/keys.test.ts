import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ConfiguredKey } from '../../src/access/access-key.ts'
import { KeyRing } from '../../src/access/keys.ts'
import { ask } from './asking.ts'

const secret = 'a-secret-canary-of-forty-letters-or-less'
const clock = () => 1_700_000_000_000

let dataDir: string
let keptFile: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'cistern-keys-'))
  keptFile = join(dataDir, 'access-keys.json')
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

const open = (...configured: ConfiguredKey[]) => KeyRing.open({ configured, dataDir, clock })

function written(name: string, content: string): string {
  const path = join(dataDir, name)
  writeFileSync(path, content)
  return path
}

const configured = (more: Partial<ConfiguredKey> = {}): ConfiguredKey => ({
  id: 'AKIACONFIGURED',
  secretFile: written('secret', `${secret}\n`),
  user: 'ci',
  policies: ['AmazonEC2ContainerRegistryPullOnly'],
  ...more,
})

const mayPull = (ring: KeyRing, id: string) => ask({ identity: ring.get(id)?.policies ?? [] })

const faultsOf = async (opening: Promise<unknown>) =>
  opening.then(
    () => 'none',
    (error: Error) => `${error.name}: ${error.message}`,
  )

describe('the first start', () => {
  it('makes one key for an administrator, which later starts have', async () => {
    const ring = await open()
    const [key, ...others] = ring.list()

    expect(others).toEqual([])
    expect(ring.firstKeyFile).toBe(keptFile)
    expect(key).toEqual({
      ...{ id: expect.stringMatching(/^AKIA[A-Z2-7]{16}$/), user: 'admin', policies: ['AdministratorAccess'] },
      ...{ source: 'file', createdAt: clock() },
    })
    const id = key?.id ?? ''
    expect(ring.get(id)?.secret).toMatch(/^[\w+/]{40}$/)
    expect(ask({ identity: ring.get(id)?.policies ?? [], action: 'secretsmanager:CreateSecret' })).toBe('allow')

    const again = await open()
    expect(again.firstKeyFile).toBeUndefined()
    expect(again.get(id)).toEqual(ring.get(id))
  })

  it('lets nobody else read it', async () => {
    await open()
    expect(statSync(keptFile).mode & 0o777).toBe(0o600)
  })

  it('makes none where one is configured', async () => {
    const ring = await open(configured())
    expect(ring.list().map(({ id }) => id)).toEqual(['AKIACONFIGURED'])
    expect(ring.firstKeyFile).toBeUndefined()
    expect(existsSync(keptFile)).toBe(false)
  })

  it('makes none where all were revoked', async () => {
    const ring = await open()
    await ring.revoke(ring.list()[0]?.id ?? '')

    expect((await open()).list()).toEqual([])
  })

  it.each([
    '',
    '{',
    '{"version":2,"keys":[]}',
    '{"version":1}',
    '{"version":1,"keys":[{"id":"x","secret":"canary"}]}',
    'null',
  ])('makes none where the file is damaged, and says so: %s', async (text) => {
    writeFileSync(keptFile, text)
    expect(await faultsOf(open())).toBe(`AccessKeyError: ${keptFile} is damaged, or of another version of Cistern`)
    expect(readFileSync(keptFile, 'utf8')).toBe(text)
  })
})

describe('a configured key', () => {
  it('has its secret without the newline, and its policies', async () => {
    const ring = await open(configured())
    expect(ring.get('AKIACONFIGURED')).toMatchObject({ id: 'AKIACONFIGURED', user: 'ci', secret })
    expect(mayPull(ring, 'AKIACONFIGURED')).toBe('allow')
    expect(ring.get('AKIAOTHER')).toBeUndefined()
    expect(ring.get('__proto__')).toBeUndefined()
  })

  it.each<[string, () => ConfiguredKey['policies'], string]>([
    ['a document', () => [{ Statement: { Effect: 'Allow', Action: 'ecr:Batch*', Resource: '*' } }], 'allow'],
    ['a file', () => [written('p.json', '{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}')], 'allow'],
    [
      'two, one of which denies',
      () => ['AdministratorAccess', { Statement: { Effect: 'Deny', Action: '*', Resource: '*' } }],
      'deny',
    ],
    ['none', () => [], 'none'],
  ])('may have for policies: %s', async (_, policies, decision) => {
    expect(mayPull(await open(configured({ policies: policies() })), 'AKIACONFIGURED')).toBe(decision)
  })

  it('is refused with all that is wrong, and without its secret', async () => {
    const short = written('short', 'canary\n')
    const blank = written('blank', `${secret} ${secret}`)
    const broken = written('broken.json', '{"canary": ')
    const strange = {
      Statement: { Effect: 'Allow', Action: '*', Resource: '*', Condition: { Null: {}, Date: { x: 'y' } } },
    }
    const faults = await faultsOf(
      open(
        configured({ id: 'AKIA1', secretFile: short }),
        configured({ id: 'AKIA2', secretFile: blank }),
        configured({ id: 'AKIA3', secretFile: join(dataDir, 'missing') }),
        configured({ id: 'AKIA4', user: 'htpasswd/alice' }),
        configured({ id: 'AKIA5', policies: ['AmazonEC2ContainerRegistryReadonly'] }),
        configured({ id: 'AKIA6', policies: [broken] }),
        configured({ id: 'AKIA7', policies: [strange] }),
        configured({ id: 'AKIA8' }),
        configured({ id: 'AKIA8' }),
      ),
    )
    expect(faults).toBe(
      [
        `AccessKeyError: access key AKIA1: ${short} does not hold 16 or more printable characters without blanks`,
        `access key AKIA2: ${blank} does not hold 16 or more printable characters without blanks`,
        `access key AKIA3: ${join(dataDir, 'missing')} cannot be read (ENOENT)`,
        'access key AKIA4: the user is not 1 to 64 letters, digits and _+=,.@-',
        'access key AKIA5: AmazonEC2ContainerRegistryReadonly is neither a built-in policy nor a file that can be read',
        `access key AKIA6: ${broken}: the document is not JSON`,
        'access key AKIA7: Statement[0].Condition.Date.x: the operator is not evaluated here',
        'access key AKIA8 is there twice',
      ].join('\n'),
    )
  })

  it('cannot be revoked, only taken out', async () => {
    const ring = await open(configured())
    await expect(ring.revoke('AKIACONFIGURED')).rejects.toThrow('access key AKIACONFIGURED is one of the configuration')
    expect(ring.get('AKIACONFIGURED')).toBeDefined()
    await ring.reload([])
    expect(ring.get('AKIACONFIGURED')).toBeUndefined()
  })
})

describe('keys made later', () => {
  it('are there at once and after a restart, beside those of the configuration', async () => {
    const ring = await open(configured())
    const document = { Statement: { Effect: 'Allow', Action: 'ecr:BatchGetImage', Resource: '*' } }
    const made = await ring.create({ user: 'farm', policies: [document, 'AmazonEC2ContainerRegistryReadOnly'] })

    for (const each of [ring, await open(configured())]) {
      expect(each.get(made.id)).toEqual(made)
      expect(mayPull(each, made.id)).toBe('allow')
      expect(each.list()).toEqual([
        { id: 'AKIACONFIGURED', user: 'ci', policies: ['AmazonEC2ContainerRegistryPullOnly'], source: 'configuration' },
        {
          ...{ id: made.id, user: 'farm', policies: ['(inline)', 'AmazonEC2ContainerRegistryReadOnly'] },
          ...{ source: 'file', createdAt: clock() },
        },
      ])
    }
  })

  it('are refused at once and after a restart when they are revoked', async () => {
    const ring = await open()
    const made = await ring.create({ user: 'farm', policies: [] })
    const revoking = ring.revoke(made.id)
    expect(ring.get(made.id)).toBeUndefined()

    expect(await revoking).toBe(true)
    expect(await ring.revoke(made.id)).toBe(false)
    expect((await open()).get(made.id)).toBeUndefined()
    expect(readFileSync(keptFile, 'utf8')).not.toContain(made.secret)
  })

  it('may be made and revoked at the same time', async () => {
    const ring = await open()
    const made = await Promise.all(Array.from({ length: 8 }, () => ring.create({ user: 'farm', policies: [] })))
    const [first, second, ...rest] = made
    await Promise.all([
      ring.revoke(first?.id ?? ''),
      ring.create({ user: 'late', policies: [] }),
      ring.revoke(second?.id ?? ''),
    ])

    const users = (await open()).list().map(({ user }) => user)
    expect(users).toEqual(['admin', ...rest.map(() => 'farm'), 'late'])
    expect(new Set(made.map(({ id }) => id)).size).toBe(8)
  })

  it('are refused with what is wrong, and leave nothing', async () => {
    const ring = await open()
    const before = readFileSync(keptFile, 'utf8')
    await expect(ring.create({ user: 'a b', policies: [] })).rejects.toThrow('the user is not')
    await expect(ring.create({ user: 'a', policies: ['Nothing'] })).rejects.toThrow('Nothing is neither')
    expect(readFileSync(keptFile, 'utf8')).toBe(before)
  })

  it('are not there where the disk does not take them; those revoked are refused all the same', async () => {
    const ring = await open()
    const made = await ring.create({ user: 'farm', policies: [] })
    rmSync(dataDir, { recursive: true })

    await expect(ring.create({ user: 'lost', policies: [] })).rejects.toThrow('ENOENT')
    expect(ring.list().map(({ user }) => user)).toEqual(['admin', 'farm'])
    await expect(ring.revoke(made.id)).rejects.toThrow('ENOENT')
    expect(ring.get(made.id)).toBeUndefined()
  })

  it('outlive a writer that was killed, whose file nobody may read', async () => {
    writeFileSync(`${keptFile}.new`, 'half')
    chmodSync(`${keptFile}.new`, 0o644)
    const ring = await open()

    expect(statSync(keptFile).mode & 0o777).toBe(0o600)
    expect(existsSync(`${keptFile}.new`)).toBe(false)
    expect(ring.list()).toHaveLength(1)
  })
})

describe('reading again', () => {
  it('takes other secrets, policies and keys', async () => {
    const policy = written('policy.json', '{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}')
    const ring = await open(configured())
    const made = await ring.create({ user: 'farm', policies: [policy] })
    expect(mayPull(ring, made.id)).toBe('allow')

    writeFileSync(policy, '{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}')
    const other = configured({ id: 'AKIASECOND', policies: [policy] })
    writeFileSync(other.secretFile, secret.toUpperCase())
    await ring.reload([configured({ secretFile: other.secretFile, policies: [] }), other])

    expect(mayPull(ring, made.id)).toBe('deny')
    expect(mayPull(ring, 'AKIASECOND')).toBe('deny')
    expect(mayPull(ring, 'AKIACONFIGURED')).toBe('none')
  })

  it('takes all or nothing', async () => {
    const ring = await open(configured())
    await expect(ring.reload([configured({ id: 'AKIANEW' }), configured({ user: '' })])).rejects.toThrow('the user is')
    expect(ring.list().map(({ id }) => id)).toEqual(['AKIACONFIGURED'])
  })

  it('does not bring back a key that is revoked meanwhile', async () => {
    const ring = await open()
    const { id } = await ring.create({ user: 'farm', policies: [] })
    const reloading = ring.reload([])
    await ring.revoke(id)
    await reloading
    expect(ring.get(id)).toBeUndefined()
  })

  it('has the configuration win an id that both have', async () => {
    const ring = await open()
    const { id } = await ring.create({ user: 'farm', policies: [] })
    await ring.reload([configured({ id })])
    expect(ring.get(id)?.user).toBe('ci')
    expect(ring.list().map(({ user }) => user)).toEqual(['ci', 'admin'])
  })
})
