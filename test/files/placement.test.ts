import {
  chmod,
  lstat,
  mkdir,
  mkdtempDisposable,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { Placement } from '../../src/files/placement.ts'
import { Volume, withVolumes } from '../faults/volume.ts'
import { eventually } from '../support/eventually.ts'
import { root as clone } from '../support/paths.ts'
import { Service } from '../support/process.ts'
import { treeOf } from '../support/tree.ts'

const records = '/var/lib/records'

let root: string

beforeEach(async () => {
  const temporary = await mkdtempDisposable(join(tmpdir(), 'cistern-placement-'))
  onTestFinished(() => temporary.remove())
  root = temporary.path
  await mkdir(join(root, 'etc/client'), { recursive: true })
  await writeFile(join(root, 'etc/client/settings'), 'theirs', { mode: 0o640 })
  await utimes(join(root, 'etc/client/settings'), 1e9, 1e9)
})

const placement = (name = 'client', at = root) => new Placement({ name, root: at, records })
const at = (path: string) => join(root, path)
const file = (path: string, text: string) => ({ path, content: () => text })

const settings = {
  path: '/etc/client/settings',
  content: (present: string | undefined) => `${present ?? 'none'} and ours`,
}
const hosts = file('/etc/client/hosts/a.example/hosts', 'a')
const secret = { ...file('/etc/client/key', 'secret'), isSecret: true as const }

describe('files that are put in place', () => {
  it('stand there whole, keep what was there beside them, with its mode, and are given back to the byte', async () => {
    const before = await treeOf(root)

    const placed = await placement().write([settings, hosts, secret])

    expect(placed).toEqual({ wrote: [settings.path, hosts.path, secret.path], kept: [settings.path], gaveBack: [] })
    const tree = await treeOf(root)
    expect(tree).toMatchObject({
      'etc/client/settings': { mode: 0o640, content: 'theirs and ours' },
      'etc/client/settings.before-cistern': before['etc/client/settings'],
      'etc/client/hosts': { mode: 0o755 },
      'etc/client/hosts/a.example/hosts': { mode: 0o644, content: 'a' },
      'etc/client/key': { mode: 0o600, content: 'secret' },
      'var/lib/records': { mode: 0o700 },
      'var/lib/records/client.json': { mode: 0o600 },
    })

    expect(await placement().undo()).toEqual({ gaveBack: [settings.path], removed: [hosts.path, secret.path] })
    expect(await treeOf(root)).toEqual(before)
    expect(await placement().undo()).toEqual({ gaveBack: [], removed: [] })
    expect(await treeOf(root)).toEqual(before)
  })

  it('have their modes whatever the umask is', async () => {
    const umask = process.umask(0o077)
    try {
      await placement().write([hosts])
    } finally {
      process.umask(umask)
    }
    expect(await treeOf(root)).toMatchObject({
      'etc/client/hosts/a.example': { mode: 0o755 },
      'etc/client/hosts/a.example/hosts': { mode: 0o644 },
    })
  })

  it('are left alone by a second write, and what was there before the first is what is kept', async () => {
    const before = await treeOf(root)
    await placement().write([settings, hosts])
    const written = await treeOf(root)

    expect(await placement().write([settings, hosts])).toEqual({ wrote: [], kept: [], gaveBack: [] })
    expect(await treeOf(root)).toEqual(written)

    await placement().write([{ ...settings, content: (present) => `${present} once more` }, file(hosts.path, 'b')])
    expect(await readFile(at(settings.path), 'utf8')).toBe('theirs once more')
    expect(await readFile(at(hosts.path), 'utf8')).toBe('b')
    await placement().undo()
    expect(await treeOf(root)).toEqual(before)
  })

  it('give way where a later write lacks them, with their directories', async () => {
    await placement().write([settings])
    const alone = await treeOf(root)
    await placement().undo()

    await placement().write([settings, hosts])
    expect(await placement().write([settings])).toMatchObject({ wrote: [], gaveBack: [hosts.path] })
    expect(Object.keys(await treeOf(root))).toEqual(Object.keys(alone))
    expect(await placement().write([hosts])).toMatchObject({ wrote: [hosts.path], gaveBack: [settings.path] })
    expect(await readFile(at(settings.path), 'utf8')).toBe('theirs')
  })

  it('are not written where they hold the same already, and stay when all is taken back', async () => {
    const before = await treeOf(root)
    expect(await placement().write([file(settings.path, 'theirs')])).toEqual({ wrote: [], kept: [], gaveBack: [] })
    expect(await treeOf(root)).toEqual(before)
  })

  it.each([[['one', 'two']], [['two', 'one']]])(
    'go with the directories that they share, in whatever order they do: %j',
    async (order) => {
      const before = await treeOf(root)
      await placement('one').write([file('/opt/shared/one', '1')])
      await placement('two').write([file('/opt/shared/two', '2')])

      for (const name of order) await placement(name).undo()

      expect(await treeOf(root)).toEqual(before)
    },
  )

  it('leave directories in which others have put something', async () => {
    await placement().write([hosts])
    await writeFile(at('etc/client/hosts/theirs'), '')

    await placement().undo()

    expect(Object.keys(await treeOf(root))).toEqual([
      'etc',
      'etc/client',
      'etc/client/hosts',
      'etc/client/hosts/theirs',
      'etc/client/settings',
    ])
  })
})

describe('files that others have changed since', () => {
  const changes: [string, () => Promise<void>][] = [
    ['a changed file', () => writeFile(at(settings.path), 'newer')],
    ['a removed file', () => rm(at(settings.path))],
    ['a changed new file', () => writeFile(at(hosts.path), 'newer')],
    ['a changed copy of what was there', () => writeFile(at(`${settings.path}.before-cistern`), 'newer')],
    [
      'a link in the place of a file',
      async () => {
        await rename(at(settings.path), at('etc/client/elsewhere'))
        await symlink(at('etc/client/elsewhere'), at(settings.path))
      },
    ],
  ]
  it.each(changes)('%s is told and left, by another write too', async (_, change) => {
    await placement().write([settings, hosts])
    await change()
    const changed = await treeOf(root)

    const fault = { name: 'ChangedSince', message: expect.stringContaining('/etc/client/') }
    await expect(placement().undo()).rejects.toMatchObject(fault)
    await expect(placement().write([settings, hosts, secret])).rejects.toMatchObject(fault)
    expect(await treeOf(root)).toEqual(changed)
  })

  it('give way to what was there where that is asked for', async () => {
    const before = await treeOf(root)
    await placement().write([settings, hosts])
    await writeFile(at(settings.path), 'newer')
    await rm(at(hosts.path))

    await placement().undo({ anyway: true })

    expect(await treeOf(root)).toEqual(before)
  })

  it('are not taken back where what was there is gone', async () => {
    await placement().write([settings])
    await rm(at(`${settings.path}.before-cistern`))

    await expect(placement().undo({ anyway: true })).rejects.toThrow(/settings\.before-cistern is gone/)
    expect(await readFile(at(settings.path), 'utf8')).toBe('theirs and ours')
  })
})

describe('nothing is written', () => {
  const refused: [string, RegExp, () => Promise<unknown>][] = [
    [
      'over a link',
      /settings is a symbolic link/,
      async () => {
        await rename(at(settings.path), at('etc/client/elsewhere'))
        await symlink('elsewhere', at(settings.path))
      },
    ],
    ['through a link out of the root', /leads out of/, () => symlink(tmpdir(), at('etc/client/hosts'))],
    ['through a link that leads nowhere', /hosts leads nowhere/, () => symlink('nowhere', at('etc/client/hosts'))],
    ['below a file', /hosts is no directory/, () => writeFile(at('etc/client/hosts'), '')],
    ['over a directory', /hosts is no file/, () => mkdir(at(hosts.path), { recursive: true })],
    [
      'where somebody else has kept something',
      /settings\.before-cistern is in the way/,
      () => writeFile(at(`${settings.path}.before-cistern`), 'older'),
    ],
    ['in the place of what is no text', /settings is not UTF-8/, () => writeFile(at(settings.path), Buffer.of(0xff))],
  ]
  it.each(refused)('%s', async (_, message, prepare) => {
    await prepare()
    const before = await treeOf(root)

    await expect(placement().write([hosts, settings])).rejects.toThrow(message)

    expect(await treeOf(root)).toEqual(before)
  })

  it('where the new content cannot be made', async () => {
    const before = await treeOf(root)
    const content = () => {
      throw new Error('is not understood')
    }
    await expect(placement().write([hosts, { path: settings.path, content }])).rejects.toThrow(
      '/etc/client/settings is not understood; nothing was written',
    )
    expect(await treeOf(root)).toEqual(before)
  })

  it('through a link that stays within the root, but for the file itself', async () => {
    await rename(at('etc/client'), at('etc/real'))
    await symlink('real', at('etc/client'))

    await placement().write([settings])
    expect(await readFile(at('etc/real/settings'), 'utf8')).toBe('theirs and ours')
    await placement().undo()
    expect(await readFile(at('etc/real/settings'), 'utf8')).toBe('theirs')
  })
})

describe('a placement that was broken off', () => {
  /** What a process leaves that ends after the record and any number of steps. */
  const steps: [string, () => Promise<unknown>][] = [
    ['all but the last record', async () => {}],
    ['without the second file', () => rm(at(hosts.path))],
    ['with half of the second file', () => rename(at(hosts.path), at(`${hosts.path}.cistern-new`))],
    ['without its directory', () => rm(at('etc/client/hosts'), { recursive: true })],
    [
      'with the first file linked only',
      async () => {
        await rm(at('etc/client/hosts'), { recursive: true })
        await rename(at(settings.path), at(`${settings.path}.cistern-new`))
        await linked(`${settings.path}.before-cistern`, settings.path)
      },
    ],
    [
      'with the record only',
      async () => {
        await rm(at('etc/client/hosts'), { recursive: true })
        await rename(at(`${settings.path}.before-cistern`), at(settings.path))
        await writeFile(at(`${records}/client.json.new`), 'half')
      },
    ],
  ]
  const linked = async (from: string, to: string) => {
    const { link } = await import('node:fs/promises')
    await link(at(from), at(to))
  }

  it.each(steps)('%s is taken back', async (_, breakOff) => {
    const before = await treeOf(root)
    await placement().write([settings, hosts])
    await breakOff()

    await placement().undo()

    expect(await treeOf(root)).toEqual(before)
  })

  it.each(steps)('%s is completed by another write', async (_, breakOff) => {
    const before = await treeOf(root)
    await placement().write([settings, hosts])
    const whole = await treeOf(root)
    await breakOff()

    await placement().write([settings, hosts])

    const { [`${records.slice(1)}/client.json.new`]: _draft, ...tree } = await treeOf(root)
    expect(contents(tree)).toEqual(contents(whole))
    await placement().undo()
    expect(await treeOf(root)).toEqual(before)
  })
})

it('a process that is killed in the middle leaves what can be taken back', async () => {
  const before = await treeOf(root)
  const script = `
    const { Placement } = await import(${JSON.stringify(join(clone, 'src/files/placement.ts'))})
    const placement = new Placement(${JSON.stringify({ name: 'client', root, records })})
    const many = Array.from({ length: 1000 }, (_, n) => ({ path: '/etc/many/' + n, content: () => String(n) }))
    await placement.write([{ path: ${JSON.stringify(settings.path)}, content: () => 'ours' }, ...many])`
  await using writer = new Service(process.execPath, ['--input-type=module', '--eval', script])
  await eventually(() => lstat(at('etc/many/5')))
  expect(await writer.stop('SIGKILL')).toBe('SIGKILL')
  expect(await readFile(at(settings.path), 'utf8')).toBe('ours')

  await placement().undo()

  expect(await treeOf(root)).toEqual(before)
})

const contents = (tree: Awaited<ReturnType<typeof treeOf>>) =>
  Object.fromEntries(Object.entries(tree).map(([path, { mode, content }]) => [path, { mode, content }]))

withVolumes('a disk', () => {
  it('that fills up in the middle is left as it was', async () => {
    using volume = new Volume('64k')
    await mkdir(join(volume.path, 'etc'))
    await writeFile(join(volume.path, 'etc/big'), Buffer.alloc(32 * 1024))
    await writeFile(join(volume.path, 'etc/theirs'), 'theirs')
    const before = await treeOf(volume.path)
    const many = Array.from({ length: 20 }, (_, n) => file(`/etc/hosts/${n}`, String(n).repeat(2000)))

    const writing = placement('client', volume.path).write([file('/etc/theirs', 'ours'), ...many])

    await expect(writing).rejects.toThrow(/ENOSPC.*; all is as it was/)
    expect(await treeOf(volume.path)).toEqual(before)
  })

  it('that is read-only is left as it was', async () => {
    using volume = new Volume('1m')
    await writeFile(join(volume.path, 'theirs'), 'theirs')
    const before = await treeOf(volume.path)
    volume.remount('ro')

    await expect(placement('client', volume.path).write([file('/theirs', 'ours')])).rejects.toThrow(/EROFS/)
    expect(await treeOf(volume.path)).toEqual(before)
    volume.remount('rw')
  })
})

describe('a record', () => {
  const record = `${records}/client.json`

  it.each([
    ['is damaged', (text: string) => text.slice(0, -10)],
    ['is of another version', (text: string) => text.replace('"version": 1', '"version": 2')],
    ['leads out', (text: string) => text.replace('"/etc/client/settings"', '"/etc/../../settings"')],
    ['names no hash', (text: string) => text.replace(/"former": "[0-9a-f]+"/, '"former": 1')],
  ])('that %s is not believed', async (_, spoil) => {
    await placement().write([settings])
    await writeFile(at(record), spoil(await readFile(at(record), 'utf8')))
    const before = await treeOf(root)

    await expect(placement().undo({ anyway: true })).rejects.toThrow(/client\.json is damaged/)
    expect(await treeOf(root)).toEqual(before)
  })

  it('that others could have written is not believed', async () => {
    await placement().write([settings])
    await chmod(at(record), 0o622)

    await expect(placement().undo()).rejects.toThrow(/not ours alone to write/)
    expect((await lstat(at(settings.path))).size).toBe('theirs and ours'.length)
  })

  it('does not have files taken away through a link that came later', async () => {
    await placement().write([hosts])
    await using elsewhere = await mkdtempDisposable(join(tmpdir(), 'cistern-elsewhere-'))
    await rename(at('etc/client/hosts/a.example'), join(elsewhere.path, 'a'))
    await symlink(join(elsewhere.path, 'a'), at('etc/client/hosts/a.example'))

    await expect(placement().undo({ anyway: true })).rejects.toThrow(/a\.example leads out of/)
    expect(await readFile(join(elsewhere.path, 'a', 'hosts'), 'utf8')).toBe('a')
  })
})
