import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import { expect, it } from 'vitest'
import { PasswordUsers } from '../../src/access/password-users.ts'

const [attacker, visitor] = ['203.0.113.7', '203.0.113.8']

async function open() {
  await using opening = new AsyncDisposableStack()
  const { path } = opening.use(await mkdtempDisposable(join(tmpdir(), 'cistern-password-users-')))
  const file = join(path, 'users')
  await writeFile(file, ['alice', 'bob'].map((user) => `${user}:${hashSync(`right-of-${user}`, 4)}\n`).join(''))
  let now = 0
  const users = opening.use(await PasswordUsers.open({ file, policies: ['AdministratorAccess'], now: () => now }))
  const resources = opening.move()
  return {
    users,
    pass: (ms: number) => {
      now += ms
    },
    guess: (count: number, client: string) =>
      Promise.all(Array.from({ length: count }, (_, at) => users.verify('alice', `wrong-${now}-${at}`, client))),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

const tooMany = { kind: 'throttled', message: 'too many wrong logins' }

it('lets nobody guess more than sixty times in a minute, and others log in meanwhile', async () => {
  await using given = await open()
  const { users } = given
  expect(await users.verify('alice', 'right-of-alice', attacker)).toBe(true)
  expect(await given.guess(60, attacker)).not.toContain(true)
  await expect(users.verify('alice', 'another', attacker)).rejects.toMatchObject(tooMany)
  await expect(users.verify('bob', 'right-of-bob', attacker)).rejects.toMatchObject(tooMany)
  expect(await users.verify('alice', 'right-of-alice', attacker)).toBe(true) // known to be right
  expect(await users.verify('bob', 'right-of-bob', visitor)).toBe(true)

  given.pass(1000)
  expect(await users.verify('bob', 'another', attacker)).toBe(false)
  await expect(users.verify('bob', 'yet another', attacker)).rejects.toMatchObject(tooMany)
})

it('counts neither what is right nor what was wrong before', async () => {
  await using given = await open()
  const { users } = given
  for (let at = 0; at < 70; at++) expect(await users.verify('alice', 'wrong', attacker)).toBe(false)
  for (let at = 0; at < 70; at++) expect(await users.verify('alice', 'right-of-alice', attacker)).toBe(true)
  expect(await given.guess(59, attacker)).not.toContain(true)
})

it('counts a login that is right for nothing, though it took a comparison', async () => {
  await using given = await open()
  expect(await given.guess(59, attacker)).not.toContain(true)
  expect(await given.users.verify('bob', 'right-of-bob', attacker)).toBe(true)
  expect(await given.users.verify('bob', 'wrong', attacker)).toBe(false)
  await expect(given.users.verify('bob', 'another', attacker)).rejects.toMatchObject(tooMany)
})
