import { mkdtempDisposable, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import { expect, it } from 'vitest'
import { startCistern } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { fetchBytes } from '../support/http.ts'

const line = (user: string, password: string) => `${user}:${hashSync(password, 4)}\n`

/** A cache whose upstream is not there: 502 is the answer to who may pull. */
async function startWithUsers(auth: { policies?: string[] } = {}) {
  await using starting = new AsyncDisposableStack()
  const directory = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-users-')))
  const path = (name: string) => join(directory.path, name)
  await writeFile(path('users'), line('alice', 'canary-one'))
  const policies = auth.policies?.map((policy) => (policy.startsWith('./') ? path(policy) : policy))
  const permit = (...actions: string[]) =>
    writeFile(path('policy.json'), JSON.stringify({ Statement: { Effect: 'Allow', Action: actions, Resource: '*' } }))
  await permit('ecr:DescribeRegistry')
  const htpasswd = { file: path('users'), ...(policies && { policies }) }
  const config = { auth: { mode: 'required', htpasswd } }
  const cistern = starting.use(await startCistern({ rules: [{ prefix: 'a', upstream: 'http://127.0.0.1:9' }], config }))
  const resources = starting.move()
  return {
    cistern,
    permit,
    write: (...lines: string[]) => writeFile(path('users'), lines.join('')),
    removeFile: () => rm(path('users')),
    async pull(user: string, password: string) {
      const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
      const { status, headers, bytes } = await fetchBytes(`${cistern.url}/v2/a/app/manifests/v1`, { authorization })
      return { status, challenge: headers['www-authenticate'], body: bytes.toString() }
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

it('a password opens the door, and no other one does', async () => {
  await using given = await startWithUsers()
  expect((await given.pull('alice', 'canary-one')).status).toBe(502)
  for (const [user, password] of [
    ['alice', 'canary-two'],
    ['alice', ''],
    ['bob', 'canary-one'],
    ['Alice', 'canary-one'],
    ['AWS', 'canary-one'],
    ['', ''],
  ] as const) {
    expect([user, password, await given.pull(user, password)]).toEqual([
      user,
      password,
      {
        status: 401,
        challenge: expect.stringMatching(/^Basic realm="http:\/\/127\.0\.0\.1:\d+\/",service="ecr\.amazonaws\.com"$/),
        body: '{"errors":[{"code":"UNAUTHORIZED","message":"Not Authorized"}]}',
      },
    ])
  }
  const logs = given.cistern.logs.join('\n')
  expect(logs).toContain('"principal":"user/htpasswd/alice"')
  expect(logs).not.toContain('canary')
})

it('F86: a change of the file counts at once, and while it is gone nobody gets in', async () => {
  await using given = await startWithUsers()
  expect((await given.pull('alice', 'canary-one')).status).toBe(502)
  await given.write(line('alice', 'canary-two'), line('bob', 'canary-three'))
  expect((await given.pull('alice', 'canary-one')).status).toBe(401)
  expect((await given.pull('alice', 'canary-two')).status).toBe(502)
  expect((await given.pull('bob', 'canary-three')).status).toBe(502)

  await given.removeFile()
  const gone = await given.pull('alice', 'canary-two')
  expect([gone.status, gone.challenge, gone.body]).toEqual([502, undefined, expect.stringContaining('passwords')])
})

it('F86: what users may is as the policies say, and those are read again on SIGHUP', async () => {
  await using given = await startWithUsers({ policies: ['./policy.json'] })
  const { status, body } = await given.pull('alice', 'canary-one')
  expect([status, body]).toEqual([
    403,
    expect.stringContaining('arn:aws:iam::000000000000:user/htpasswd/alice is not authorized'),
  ])
  await given.permit('ecr:BatchGetImage', 'ecr:BatchImportUpstreamImage')
  expect((await given.pull('alice', 'canary-one')).status).toBe(403)
  process.kill(given.cistern.pid ?? 0, 'SIGHUP')
  await eventually(async () => expect((await given.pull('alice', 'canary-one')).status).toBe(502))
})

it.each([
  [{ file: '/does/not/exist' }, '/does/not/exist cannot be read (ENOENT)'],
  [{ file: '/' }, '/ cannot be read (EISDIR)'],
  [{ file: '/dev/null', policies: ['NoSuchPolicy'] }, 'NoSuchPolicy is neither a built-in policy nor a file'],
])('does not start with %j', async (htpasswd, message) => {
  const started = startCistern({ rules: [], config: { auth: { mode: 'required', htpasswd } } })
  await expect(started).rejects.toThrow(message)
})
