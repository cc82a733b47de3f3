import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DescribeRegistryCommand, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { keys } from '../../src/commands/keys.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { clientsOf, firstKey, type TestKey } from '../support/ecr.ts'
import { fetchBytes } from '../support/http.ts'

const config = { auth: { mode: 'required' } }
const readOnly = 'AmazonEC2ContainerRegistryReadOnly'

async function create(cistern: CisternProcess, ...args: string[]): Promise<TestKey> {
  const { status, stdout, stderr } = await command(cistern, 'keys', 'create', ...args)
  expect([status, stderr]).toEqual([0, ''])
  const [, accessKeyId = '', secretAccessKey = ''] =
    /^AWS_ACCESS_KEY_ID=(AKIA[A-Z2-7]{16})\nAWS_SECRET_ACCESS_KEY=([\w+/]{40})\n$/.exec(stdout) ?? []
  return { accessKeyId, secretAccessKey }
}

async function list(cistern: CisternProcess) {
  const { status, stdout } = await command(cistern, 'keys', 'list', '--json')
  expect(status).toBe(0)
  return { text: stdout, keys: JSON.parse(stdout) as { id: string; user: string; policies: string[] }[] }
}

/** What becomes of a request that the key signs: the name of the error, or the token. */
async function login(cistern: CisternProcess, key: TestKey): Promise<string> {
  using clients = clientsOf(cistern, key)
  return clients.ecr.send(new GetAuthorizationTokenCommand({})).then(
    ({ authorizationData }) => authorizationData?.[0]?.authorizationToken ?? '',
    ({ name }: Error) => name,
  )
}

const statusFor = async ({ url }: CisternProcess, token: string) =>
  (await fetchBytes(`${url}/v2/`, { authorization: `Basic ${token}` })).status

describe('cistern keys on a running instance', () => {
  it('F86: a key is good from its creation to its revocation, and its tokens with it', async () => {
    await using cistern = await startCistern({ rules: [], config })
    const key = await create(cistern, '--user', 'ci', '--policy', readOnly)
    const token = await login(cistern, key)
    expect(await statusFor(cistern, token)).toBe(200)
    const { keys, text } = await list(cistern)
    expect(keys).toMatchObject([{ user: 'admin' }, { id: key.accessKeyId, user: 'ci', policies: [readOnly] }])
    expect(text).not.toContain(key.secretAccessKey)

    expect(await command(cistern, 'keys', 'revoke', key.accessKeyId)).toMatchObject({ status: 0, stdout: '' })
    expect(await statusFor(cistern, token)).toBe(401)
    expect(await login(cistern, key)).toBe('UnrecognizedClientException')
    expect((await list(cistern)).text).not.toContain(key.accessKeyId)
    await cistern.restart()
    expect(await login(cistern, key)).toBe('UnrecognizedClientException')
    expect(cistern.logs.join('\n')).not.toContain(key.secretAccessKey)
  })

  it('reads policies from files, wherever it is called', async () => {
    await using cistern = await startCistern({ rules: [], config })
    const policy = { Statement: { Effect: 'Allow', Action: 'ecr:DescribeRegistry', Resource: '*' } }
    await writeFile(join(cistern.directory, 'policy.json'), JSON.stringify(policy))
    const key = await create(cistern, '--user=viewer', '--policy=policy.json')
    using clients = clientsOf(cistern, key)
    expect(await clients.ecr.send(new DescribeRegistryCommand({}))).toMatchObject({ registryId: '000000000000' })
    expect(await login(cistern, key)).toBe('AccessDeniedException')
    expect((await list(cistern)).keys[1]?.policies).toEqual([join(cistern.directory, 'policy.json')])
  })

  it('leaves the keys of the configuration to it', async () => {
    await using cistern = await startCistern({ rules: [], config })
    const secretFile = join(cistern.directory, 'secret')
    await writeFile(secretFile, 'a-secret-canary-of-the-configuration')
    const file = join(cistern.directory, 'cistern.yaml')
    const accessKeys = [{ id: 'KEY_ci', secretFile, user: 'ci' }]
    await writeFile(file, `${await readFile(file, 'utf8')}\naccessKeys: ${JSON.stringify(accessKeys)}\n`)
    await cistern.restart()
    const listed = await command(cistern, 'keys', 'list')
    expect(listed.stdout).toMatch(/^KEY_ci {2}ci {2}of the configuration {2}no policies\nAKIA.* {2}admin {2}/)
    const { status, stderr } = await command(cistern, 'keys', 'revoke', 'KEY_ci')
    expect([status, stderr]).toEqual([1, expect.stringContaining('access key KEY_ci is one of the configuration')])
  })
})

describe('cistern keys where no instance runs', () => {
  it('makes, lists and revokes keys that the next start has', async () => {
    await using cistern = await startCistern({ rules: [], config })
    const admin = await firstKey(cistern)
    await cistern.stop()
    const [kept, gone] = [
      await create(cistern, '--user', 'kept', '--policy', readOnly),
      await create(cistern, '--user', 'gone'),
    ]
    expect((await list(cistern)).keys.map(({ user }) => user)).toEqual(['admin', 'kept', 'gone'])
    expect((await command(cistern, 'keys', 'revoke', gone.accessKeyId)).status).toBe(0)
    await cistern.restart()
    expect(await statusFor(cistern, await login(cistern, kept))).toBe(200)
    expect(await login(cistern, gone)).toBe('UnrecognizedClientException')
    expect(await statusFor(cistern, await login(cistern, admin))).toBe(200)
  })

  it('makes the data directory for a first key, and no other key beside it', async () => {
    await using cistern = await startCistern({ rules: [], config })
    await cistern.stop()
    const fresh = join(cistern.directory, 'fresh')
    for (const args of [['list'], ['revoke', 'KEY_ci']]) {
      const { status, stderr } = await command(cistern, 'keys', ...args, '--data-dir', fresh)
      expect([status, stderr]).toEqual([1, `cistern: there is no cache in ${fresh}\n`])
      expect(existsSync(fresh)).toBe(false)
    }
    const { status, stdout } = await command(cistern, 'keys', 'create', '--user', 'ci', '--json', '--data-dir', fresh)
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { user: 'ci', policies: [], secret: expect.any(String) }])
    const file = join(fresh, 'access-keys.json')
    expect(JSON.parse(await readFile(file, 'utf8')).keys).toMatchObject([{ user: 'ci' }])
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  })
})

describe('cistern keys', () => {
  it.each<[string[], string]>([
    [[], 'create, list or revoke'],
    [['make'], 'create, list or revoke'],
    [['create'], '--user is 1 to 64 letters'],
    [['create', '--user'], "'--user <value>' argument missing"],
    [['create', '--user', '--json'], 'ambiguous'],
    [['create', '--user', 'a/b'], '--user is 1 to 64 letters'],
    [['create', '--user', 'ci', '--policy', 'NoSuchPolicy'], 'NoSuchPolicy is neither a built-in policy nor a file'],
    [['create', '--user', 'ci', 'stray'], "Unexpected argument 'stray'"],
    [['create', '--user', 'ci', '--nonsense'], "Unknown option '--nonsense'"],
    [['list', '--user', 'ci'], "Unknown option '--user'"],
    [['revoke'], 'the id of an access key'],
    [['revoke', 'a/../b'], 'the id of an access key'],
    [['revoke', 'KEY_ci', '--json'], "Unknown option '--json'"],
  ])('takes %j for wrong usage', async (args, message) => {
    await expect(keys(args)).rejects.toMatchObject({
      name: 'ConfigError',
      faults: [expect.stringContaining(message)],
    })
  })

  it('tells by its status what went wrong', async () => {
    await using cistern = await startCistern({ rules: [] })
    const unknown = await command(cistern, 'keys', 'revoke', 'KEY_ci')
    expect([unknown.status, unknown.stderr]).toEqual([1, 'cistern: there is no access key KEY_ci\n'])
    const wrong = await command(cistern, 'keys', 'create', '--user', 'ci', '--policy', 'NoSuchPolicy')
    expect([wrong.status, wrong.stdout]).toEqual([2, ''])
    expect((await list(cistern)).keys).toMatchObject([{ user: 'admin' }])
  })
})
