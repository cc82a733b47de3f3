import { chmod, chown, mkdir, mkdtempDisposable, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreatePullThroughCacheRuleCommand } from '@aws-sdk/client-ecr'
import { parse as parseToml } from 'smol-toml'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { parseAllDocuments, parse as parseYaml, stringify } from 'yaml'
import { clientConfig as clientConfigHere } from '../../src/commands/client-config.ts'
import { builtInRules } from '../../src/rules/built-in.ts'
import { Volume, withVolumes } from '../faults/volume.ts'
import { startCistern } from '../support/cistern.ts'
import { clientConfig, clientConfigured } from '../support/client-config.ts'
import { clientsOf, firstKey } from '../support/ecr.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { root as clone } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { treeOf } from '../support/tree.ts'

let home: string

beforeEach(async () => {
  const temporary = await mkdtempDisposable(join(tmpdir(), 'cistern-client-config-'))
  onTestFinished(() => temporary.remove())
  home = temporary.path
  await mkdir(join(home, 'machine/etc/docker'), { recursive: true })
})

const at = (path: string) => join(home, path)
const daemonJson = 'machine/etc/docker/daemon.json'

/** A configuration file, and the flag that names it. */
async function configured(config: object): Promise<string[]> {
  await writeFile(at('cistern.yaml'), stringify(config))
  return ['--config', at('cistern.yaml')]
}

describe('cistern client-config', () => {
  it('says for every rule what to write where, and writes nothing', async () => {
    const before = await treeOf(home)
    const registries = builtInRules.map(({ prefix }) => prefix)

    const { files } = JSON.parse(await clientConfigured(home, 'containerd', '--json'))
    expect(files.map(({ path }: { path: string }) => path)).toEqual(
      registries.map((registry) => `/etc/containerd/certs.d/${registry}/hosts.toml`),
    )
    const printed = await clientConfigured(home, 'containerd')
    for (const { path, content } of files) expect(printed).toContain(`# ${path}\n${content}`)
    expect(printed).toContain('ctr images pull --hosts-dir /etc/containerd/certs.d docker.io/library/busybox:latest')
    expect(await treeOf(home)).toEqual(before)
  })

  it('prints what can be taken as it is, where it is one file', async () => {
    const url = ['--url', 'http://cache.example:5000', '--rule', 'quay.io', '--rule', 'ghcr.io']
    const podman = parseToml(await clientConfigured(home, 'podman', ...url))
    expect(podman).toMatchObject({ registry: [{ prefix: 'ghcr.io' }, { prefix: 'quay.io' }, {}] })
    const buildkit = parseToml(await clientConfigured(home, 'buildkit', ...url))
    expect(buildkit).toMatchObject({ registry: { 'ghcr.io': {}, 'quay.io': {}, 'cache.example:5000': { http: true } } })
    const { mirrors } = parseYaml(await clientConfigured(home, 'k3s', ...url))
    expect(mirrors).toMatchObject({ 'ghcr.io': { endpoint: ['http://cache.example:5000'] }, 'quay.io': {} })
    const talos = parseAllDocuments(await clientConfigured(home, 'talos', ...url))
    expect(talos.map((document) => document.get('name'))).toEqual(['ghcr.io', 'quay.io', 'cache.example:5000'])
  })

  it('leads to publicUrl, and says what a login and certificates take', async () => {
    const config = await configured({
      publicUrl: 'https://cache.example',
      auth: { mode: 'required' },
      tls: { certFile: 'a', keyFile: 'b', clientCaFile: 'c' },
    })
    const { files, notes } = JSON.parse(
      await clientConfigured(home, 'podman', ...config, '--json', '--rule', 'ghcr.io'),
    )
    expect(parseToml(files[0].content)).toEqual({
      registry: [{ prefix: 'ghcr.io', location: 'ghcr.io', mirror: [{ location: 'cache.example/ghcr.io' }] }],
    })
    expect(notes.join('\n')).toContain('podman login cache.example')
    expect(notes.join('\n')).toContain('wants a certificate of its clients')
  })

  it('says which rules clients cannot name as they do, and has them given by name alone', async () => {
    const config = await configured({
      builtinRules: false,
      rules: [
        { prefix: 'docker.io', upstream: 'registry-1.docker.io' },
        { prefix: 'official', upstream: 'registry-1.docker.io', upstreamRepositoryPrefix: 'library' },
      ],
    })
    const { notes, registries } = JSON.parse(await clientConfigured(home, 'podman', ...config, '--json'))
    expect(notes.join('\n')).toContain('official is no registry of clients, for its repositories have other names')
    expect(notes.join('\n')).toContain('127.0.0.1:5000/official/')
    expect(registries).toEqual({ 'docker.io': '127.0.0.1:5000/docker.io' })
    const { status, stderr } = await clientConfig(home, 'podman', ...config, '--rule', 'official')
    expect([status, stderr]).toEqual([2, expect.stringContaining('name images 127.0.0.1:5000/official/')])
  })

  it('has the rules that were made by the API, of an instance that runs and of one that does not', async () => {
    const config = { auth: { mode: 'required' }, allowPrivateUpstreams: true }
    await using cistern = await startCistern({ rules: [], config })
    using clients = clientsOf(cistern, await firstKey(cistern))
    const rule = { ecrRepositoryPrefix: 'lab', upstreamRegistryUrl: 'http://127.0.0.1:9' }
    await clients.ecr.send(new CreatePullThroughCacheRuleCommand(rule))
    const of = ['--config', join(cistern.directory, 'cistern.yaml'), '--url', cistern.url, '--json']
    const running = JSON.parse(await clientConfigured(home, 'podman', ...of))
    await cistern.stop()
    const stopped = JSON.parse(await clientConfigured(home, 'podman', ...of))

    expect(running.registries).toEqual({ '127.0.0.1:9': `${cistern.host}/lab` })
    expect(stopped).toEqual(running)
  })

  it('does without them where it may not look', async () => {
    await mkdir(at('data'))
    await writeFile(at('data/rules.json'), 'not for everybody')
    const isRoot = process.getuid?.() === 0
    if (isRoot) await chown(at('data'), 65_534, 65_534)
    await chmod(at('data'), isRoot ? 0o700 : 0)
    const powerless = isRoot ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : ['env']
    const command = [process.execPath, join(clone, 'src', 'main.ts'), 'client-config', 'podman']
    const [program = '', ...args] = [...powerless, ...command]
    const { stdout } = await run(program, args, { cwd: home, env: { PATH: process.env.PATH, HOME: home } })
    await chmod(at('data'), 0o700)

    expect(stdout).toContain('prefix = "docker.io"')
    expect(stdout).toContain('Rules of the API are left out')
  })

  it('tells no key', async () => {
    const [mine, other] = [selfSigned(), selfSigned()]
    await writeFile(at('me.crt'), mine.cert)
    await writeFile(at('me.key'), mine.key)
    await writeFile(at('other.key'), other.key)
    const url = ['--url', 'https://cache.example', '--ca', 'me.crt', '--client-cert', 'me.crt']
    for (const client of ['containerd', 'k3s', 'talos']) {
      const printed = await clientConfigured(home, client, ...url, '--client-key', 'me.key')
      const json = await clientConfigured(home, client, ...url, '--client-key', 'me.key', '--json')
      for (const line of mine.key.split('\n').slice(1, 3)) expect(printed + json).not.toContain(line)
    }
    const fault = async (...args: string[]) => (await clientConfig(home, 'podman', ...url, ...args)).stderr
    expect(await fault('--client-key', 'other.key')).toBe('cistern: --client-key: other.key is not the key to me.crt\n')
    await writeFile(at('both.pem'), mine.cert + mine.key)
    const both = ['--client-key', 'me.key', '--ca', 'both.pem']
    expect(await fault(...both)).toBe('cistern: --ca: both.pem holds a key, which it must not\n')
  })
})

describe('cistern client-config --write', () => {
  const inMachine = (...args: string[]) => ['docker', '--rule', 'docker.io', '--root', at('machine'), ...args]

  it('puts files in place, says so, and what comes next; --undo gives all back', async () => {
    await writeFile(at(daemonJson), '{"log-level":"warn"}', { mode: 0o600 })
    const before = await treeOf(home)

    const wrote = await clientConfigured(home, ...inMachine('--write'))
    expect(wrote).toMatch(
      /^wrote \/etc\/docker\/daemon\.json; what was there is beside it\nwrote \/etc\/docker\/certs\.d/,
    )
    expect(wrote).toContain('systemctl reload docker')
    expect(JSON.parse(await readFile(at(daemonJson), 'utf8'))).toEqual({
      'log-level': 'warn',
      'registry-mirrors': ['http://127.0.0.1:5000'],
      'insecure-registries': ['127.0.0.1:5000'],
    })
    const written = await treeOf(home)
    expect(written[daemonJson]).toMatchObject({ mode: 0o600 })

    expect(await clientConfigured(home, ...inMachine('--write'))).toMatch(/^all is in place already\n/)
    expect(await treeOf(home)).toEqual(written)
    const undone = await clientConfigured(home, ...inMachine('--undo'))
    expect(undone).toMatch(
      /^gave back \/etc\/docker\/daemon\.json\nremoved [^\n]*hosts\.toml\nThen:\n {2}systemctl reload/,
    )
    expect(await treeOf(home)).toEqual(before)
    expect(await clientConfigured(home, ...inMachine('--undo'))).toBe('there is nothing to take back\n')
  })

  it('leads to another instance where it is told so, and leaves no trace of the first', async () => {
    await writeFile(at(daemonJson), '{}')
    await clientConfigured(home, ...inMachine('--write'))
    await clientConfigured(home, ...inMachine('--write', '--url', 'http://second.example'))
    expect(await readFile(at(daemonJson), 'utf8')).not.toContain('127.0.0.1')
    await clientConfigured(home, ...inMachine('--undo'))
    expect(await readFile(at(daemonJson), 'utf8')).toBe('{}')
  })

  it('is for one user where that is said, and leaves the machine alone', async () => {
    const before = await treeOf(home)
    await clientConfigured(home, 'docker', '--rule', 'docker.io', '--user', '--write')
    expect(Object.keys(await treeOf(home))).toEqual(
      expect.arrayContaining(['.config/docker/daemon.json', '.config/docker/certs.d/docker.io/hosts.toml']),
    )
    await clientConfigured(home, 'docker', '--user', '--undo')
    expect(await treeOf(home)).toEqual(before)
  })

  it('reports for programs', async () => {
    await writeFile(at(daemonJson), '{}')
    const files = ['/etc/docker/daemon.json', '/etc/docker/certs.d/docker.io/hosts.toml']
    const run = ['systemctl reload docker']
    expect(JSON.parse(await clientConfigured(home, ...inMachine('--write', '--json')))).toMatchObject({
      ...{ wrote: files, kept: files.slice(0, 1), gaveBack: [], run },
    })
    expect(JSON.parse(await clientConfigured(home, ...inMachine('--undo', '--json')))).toEqual({
      ...{ gaveBack: files.slice(0, 1), removed: files.slice(1), run },
    })
  })

  it('refuses what others have changed since, by name; --force gives back what was there', async () => {
    await writeFile(at(daemonJson), '{}')
    await clientConfigured(home, ...inMachine('--write'))
    await writeFile(at(daemonJson), '{"debug":true}')

    const undo = await clientConfig(home, ...inMachine('--undo'))
    const message = 'cistern: changed by others since: /etc/docker/daemon.json; --force takes all back none the less\n'
    expect([undo.status, undo.stderr]).toEqual([1, message])
    const write = await clientConfig(home, ...inMachine('--write', '--url', 'https://second.example'))
    expect([write.status, write.stderr]).toEqual([1, message.replace('--force', '--undo --force')])
    expect(await readFile(at(daemonJson), 'utf8')).toBe('{"debug":true}')
    await clientConfigured(home, ...inMachine('--undo', '--force'))
    expect(await readFile(at(daemonJson), 'utf8')).toBe('{}')
  })

  it.each([
    ['docker', 'etc/docker/daemon.json', '{"a": c4nary}', 'is not JSON'],
    ['k3s', 'etc/rancher/k3s/registries.yaml', 'mirrors: [c4nary', 'is not YAML'],
    ['buildkit', 'etc/buildkit/buildkitd.toml', 'a = c4nary', 'is not TOML'],
  ])('leaves a file of %s alone that it does not understand', async (client, file, content, what) => {
    await mkdir(join(at('machine'), file, '..'), { recursive: true })
    await writeFile(join(at('machine'), file), content)
    const before = await treeOf(home)

    const { status, stderr } = await clientConfig(home, client, '--root', at('machine'), '--write')
    expect(status).toBe(1)
    expect(stderr).toMatch(new RegExp(`^cistern: /${file} ${what}[^\\n]*; nothing was written\\n$`))
    expect(stderr).not.toContain('c4nary')
    expect(await treeOf(home)).toEqual(before)
  })

  it('makes no root that there is not', async () => {
    const before = await treeOf(home)
    const { status, stderr } = await clientConfig(home, 'podman', '--root', at('nowhere'), '--write')
    expect([status, stderr]).toEqual([1, `cistern: there is no directory ${at('nowhere')}\n`])
    expect(await treeOf(home)).toEqual(before)
  })

  it('follows no link', async () => {
    await writeFile(at('elsewhere'), '{}')
    await symlink(at('elsewhere'), at(daemonJson))
    const before = await treeOf(home)
    const { status, stderr } = await clientConfig(home, ...inMachine('--write'))
    expect([status, stderr]).toEqual([1, expect.stringContaining('is a symbolic link')])
    expect(await treeOf(home)).toEqual(before)
  })

  withVolumes('on a read-only disk', () => {
    it('fails, and all is as it was', async () => {
      using volume = new Volume('1m', 'machine')
      await mkdir(join(volume.path, 'machine/etc'))
      volume.remount('ro')
      const { status, stderr } = await clientConfig(home, 'k3s', '--root', join(volume.path, 'machine'), '--write')
      expect([status, stderr]).toEqual([1, expect.stringMatching(/EROFS.*; all is as it was/)])
    })
  })
})

describe('wrong usage', () => {
  it.each([
    [[], 'is followed by one client: containerd, docker, podman'],
    [['docker', 'podman'], 'is followed by one client'],
    [['netscape'], 'there is no set-up of netscape; there is one of containerd, docker, podman, k3s'],
    [['docker', '--write', '--undo'], '--write and --undo'],
    [['docker', '--force'], '--force goes with --undo'],
    [['docker', '--root', '/x'], '--root goes with --write and --undo'],
    [['docker', '--nonsense'], '--nonsense'],
    [['k3s', '--user'], 'no set-up of k3s for one user'],
    [['talos', '--write'], 'nothing to write on this machine'],
    [['docker', '--rule', 'netscape'], '--rule: there is no rule netscape; there are docker.io, ghcr.io'],
    [['docker', '--no-builtin-rules'], 'there are no rules'],
    [['docker', '--url', 'ftp://x'], '--url: must be host[:port]'],
    [['docker', '--url', 'http://x/y'], '--url: must be host[:port]'],
    [['docker', '--url', 'https://..'], 'https://.. names no host'],
    [['docker', '--public-url', 'http://0.0.0.0:5000'], 'clients cannot go to http://0.0.0.0:5000'],
    [['docker', '--listen', '127.0.0.1:0'], 'clients cannot go to http://127.0.0.1:0'],
    [['docker', '--ca', '/nowhere', '--url', 'http://x'], 'http://x has no certificates'],
    [['docker', '--ca', '/nowhere', '--url', 'x'], '--ca: /nowhere cannot be read (ENOENT)'],
    [['docker', '--ca', '/etc/hostname', '--url', 'x'], '--ca: /etc/hostname holds no certificate'],
    [['docker', '--client-key', '/nowhere', '--url', 'x'], '--client-cert and --client-key go together'],
  ])('is %j', async (args, message) => {
    const wrong = clientConfigHere([...args, '--data-dir', at('data')])
    await expect(wrong).rejects.toMatchObject({ name: 'ConfigError', message: expect.stringContaining(message) })
  })

  it('ends with status 2', async () => {
    const { status, stdout, stderr } = await clientConfig(home, 'netscape')
    expect([status, stdout, stderr]).toEqual([2, '', expect.stringContaining('there is one of containerd')])
  })
})
