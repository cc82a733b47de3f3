import { execFileSync } from 'node:child_process'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BcryptThread } from '../../src/access/bcrypt-thread.ts'
import { parseHtpasswd } from '../../src/access/htpasswd.ts'
import { Passwords } from '../../src/access/passwords.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

const minuteMs = 60_000
const thread = new BcryptThread()
const cheap = (password: string, cost = 4) => hashSync(password, cost)

let directory: string
let file: string
let now: number
let compared: string[]
let faults: string[]
let unsubscribe: () => void

/** Counts what really is compared. */
const bcrypt = {
  async compare(password: string, hash: string) {
    compared.push(hash)
    return thread.compare(password, hash)
  },
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cistern-passwords-'))
  file = join(directory, 'htpasswd')
  now = 1
  compared = []
  faults = []
  unsubscribe = subscribe('cistern:fault', ({ message }: Events['cistern:fault']) => void faults.push(message))
})

afterEach(() => {
  unsubscribe()
  rmSync(directory, { recursive: true, force: true })
})

afterAll(() => thread[Symbol.asyncDispose]())

function open(...lines: string[]): Passwords {
  write(...lines)
  return new Passwords({ file, bcrypt, now: () => now })
}

function write(...lines: string[]): void {
  writeFileSync(`${file}.new`, `${lines.join('\n')}\n`)
  renameSync(`${file}.new`, file)
}

describe('a password', () => {
  it('is right for its user only', async () => {
    const passwords = open('# people', '', `alice:${cheap('wonder')}`, `bob:${cheap('builder')}`)

    expect(await passwords.verify('alice', 'wonder')).toBe(true)
    expect(await passwords.verify('bob', 'builder')).toBe(true)
    for (const [username, password] of [
      ['alice', 'builder'],
      ['alice', ''],
      ['alice', 'Wonder'],
      ['Alice', 'wonder'],
      ['carol', 'wonder'],
      ['', ''],
      ['# people', ''],
      ['__proto__', ''],
    ] as const) {
      expect(await passwords.verify(username, password), username).toBe(false)
    }
    expect(faults).toEqual([])
  })

  it('may hold colons and letters of any script', async () => {
    const passwords = open(`alice:${cheap('a:b:ü')}:a comment`)
    expect(await passwords.verify('alice', 'a:b:ü')).toBe(true)
  })

  it.each(['$2a$', '$2b$', '$2y$'])('is read from a hash of the form %s', async (form) => {
    const passwords = open(`alice:${cheap('wonder').replace('$2b$', form)}`)
    expect(await passwords.verify('alice', 'wonder')).toBe(true)
    expect(await passwords.verify('alice', 'wonders')).toBe(false)
  })

  it('is wrong at once where it is longer than any', async () => {
    const passwords = open(`alice:${cheap('wonder')}`)
    expect(await passwords.verify('alice', 'x'.repeat(1025))).toBe(false)
    expect(compared).toEqual([])
  })
})

describe('a verdict', () => {
  it('is remembered for five minutes, right or wrong', async () => {
    const passwords = open(`alice:${cheap('wonder')}`)
    const ask = async () => [await passwords.verify('alice', 'wonder'), await passwords.verify('alice', 'wrong')]

    expect(await ask()).toEqual([true, false])
    now = 5 * minuteMs
    expect(await ask()).toEqual([true, false])
    expect(compared).toHaveLength(2)
    now = 5 * minuteMs + 2
    expect(await ask()).toEqual([true, false])
    expect(compared).toHaveLength(4)
  })

  it('is found once for all who ask at the same time', async () => {
    const passwords = open(`alice:${cheap('wonder')}`)
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => passwords.verify('alice', 'wonder')))
    expect(verdicts).toEqual(Array(20).fill(true))
    expect(compared).toHaveLength(1)
  })

  it('is not that of another user or password who look alike when joined', async () => {
    const same = cheap('x')
    const passwords = open(`ab:${same}`, `a:${same}`)
    expect(await passwords.verify('ab', 'x')).toBe(true)
    expect(await passwords.verify('a', 'bx')).toBe(false)
  })

  it('costs the same for an unknown user', async () => {
    const passwords = open(`bob:${cheap('builder', 5)}`, `alice:${cheap('wonder')}`)
    await passwords.verify('carol', 'wonder')
    await passwords.verify('carol', 'wonder')
    expect(compared).toEqual([expect.stringMatching(/^\$2b\$05\$/)])
  })

  it('lets no unknown user in, whatever the comparison says', async () => {
    write(`alice:${cheap('wonder')}`)
    const passwords = new Passwords({ file, bcrypt: { compare: async () => true }, now: () => now })
    expect(await passwords.verify('carol', 'x')).toBe(false)
    expect(await passwords.verify('alice', 'x')).toBe(true)
  })

  it('is not pushed out by guesses', async () => {
    write(`alice:${cheap('wonder')}`)
    const quick = {
      compare: async (password: string, hash: string) => password === 'wonder' && bcrypt.compare(password, hash),
    }
    const passwords = new Passwords({ file, bcrypt: quick, now: () => now })
    await passwords.verify('alice', 'wonder')
    for (let at = 0; at < 1500; at++) await passwords.verify('alice', `guess-${at}`)
    expect(await passwords.verify('alice', 'wonder')).toBe(true)
    expect(compared).toHaveLength(1)
  })
})

describe('F86: the file', () => {
  it('is read again when it changes', async () => {
    const passwords = open(`alice:${cheap('wonder')}`, `bob:${cheap('builder')}`)
    expect(await passwords.verify('alice', 'wonder')).toBe(true)

    write(`alice:${cheap('changed')}`)
    expect(await passwords.verify('alice', 'wonder')).toBe(false)
    expect(await passwords.verify('alice', 'changed')).toBe(true)
    expect(await passwords.verify('bob', 'builder')).toBe(false)
  })

  it('is read again when it is written in place with the same length', async () => {
    const passwords = open(`alice:${cheap('wonder')}`)
    expect(await passwords.verify('alice', 'wonder')).toBe(true)
    writeFileSync(file, `alice:${cheap('changed')}\n`)
    expect(await passwords.verify('alice', 'wonder')).toBe(false)
  })

  it('lets nobody in while it is gone', async () => {
    const passwords = open(`alice:${cheap('wonder')}`)
    expect(await passwords.verify('alice', 'wonder')).toBe(true)
    rmSync(file)
    await expect(passwords.verify('alice', 'wonder')).rejects.toMatchObject({ kind: 'unavailable' })
    write(`alice:${cheap('wonder')}`)
    expect(await passwords.verify('alice', 'wonder')).toBe(true)
  })

  it('lets those in whose lines are whole, and says once what is wrong with the others', async () => {
    const passwords = open(
      'apache:$apr1$canary$canary',
      `costly:${cheap('x').replace('$04$', '$15$')}`,
      `free:${cheap('x').replace('$04$', '$03$')}`,
      `short:${cheap('x').slice(0, -1)}`,
      'nobody',
      `a b:${cheap('x')}`,
      `alice:${cheap('wonder')}`,
      `alice:${cheap('second')}`,
    )
    expect(await passwords.verify('alice', 'wonder')).toBe(true)
    expect(await passwords.verify('alice', 'second')).toBe(false)
    expect(await passwords.verify('costly', 'x')).toBe(false)
    expect(faults).toEqual([
      `${file}: line 1: not a bcrypt hash (htpasswd -B); line 2: the cost is above 14; ` +
        'line 3: not a bcrypt hash (htpasswd -B); line 4: not a bcrypt hash (htpasswd -B); ' +
        'line 5: not a bcrypt hash (htpasswd -B); line 6: the user is not 1 to 64 letters, digits and _+=,.@-; ' +
        'line 8: the user is there already',
    ])
  })

  it('may be empty', async () => {
    const passwords = open()
    expect(await passwords.verify('alice', '')).toBe(false)
    expect(compared).toEqual([expect.stringMatching(/^\$2b\$10\$/)])
  })

  it('may hold anything', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', ':', '\n', '$2y$', '10', '\0', '#', ' ') }), (text) => {
        expect(parseHtpasswd(text).users.size).toBe(0)
      }),
    )
  })
})

describe('the thread', () => {
  const dear = cheap('').replace('$04$', '$09$')

  it('refuses more than may wait, and serves those who do', async () => {
    await using crowded = new BcryptThread()
    const hash = cheap('wonder')
    const waiting = Array.from({ length: 64 }, () => crowded.compare('wonder', hash))
    await expect(crowded.compare('wonder', hash)).rejects.toMatchObject({ kind: 'throttled' })
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([true]))
    expect(await crowded.compare('wonder', hash)).toBe(true)
  })

  it('leaves the event loop to others', async () => {
    await using busy = new BcryptThread()
    let done = false
    const comparing = busy.compare('x', dear).then(() => {
      done = true
    })
    let turns = 0
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve))
      turns++
    }
    await comparing
    expect(turns).toBeGreaterThan(10)
  })

  it('tells those who wait when it ends, and begins again', async () => {
    await using ending = new BcryptThread()
    const waiting = ending.compare('x', dear)
    const told = expect(waiting).rejects.toMatchObject({ kind: 'unavailable' })
    await ending[Symbol.asyncDispose]()
    await told
    expect(await ending.compare('x', cheap('x'))).toBe(true)
  })
})

withTools('htpasswd')('the real htpasswd', () => {
  it('writes files that are read', async () => {
    execFileSync(requireTool('htpasswd'), ['-cbBC', '4', file, 'alice', 'wonder'], { stdio: 'ignore' })
    execFileSync(requireTool('htpasswd'), ['-bB', file, 'bob', 'builder'], { stdio: 'ignore' })
    const passwords = new Passwords({ file, bcrypt })
    expect(await passwords.verify('alice', 'wonder')).toBe(true)
    expect(await passwords.verify('bob', 'builder')).toBe(true)
    execFileSync(requireTool('htpasswd'), ['-D', file, 'alice'], { stdio: 'ignore' })
    expect(await passwords.verify('alice', 'wonder')).toBe(false)
    expect(faults).toEqual([])
  })
})
