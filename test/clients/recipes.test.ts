import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments, parse as parseYaml } from 'yaml'
import { clientNamed, clients } from '../../src/clients/all.ts'
import type { Endpoint, Recipe, Setup } from '../../src/clients/client.ts'
import type { Mirror } from '../../src/clients/mirrors.ts'
import { root } from '../support/paths.ts'

const hub: Mirror = {
  registry: 'docker.io',
  prefix: 'docker.io',
  byNamespace: true,
  server: 'https://registry-1.docker.io',
  rules: ['docker.io'],
}
const lab: Mirror = {
  registry: 'lab.example:5000',
  prefix: 'lab',
  byNamespace: false,
  server: 'http://lab.example:5000',
  rules: ['lab', 'lab/team'],
}

const local: Endpoint = { url: 'http://127.0.0.1:5000', host: '127.0.0.1:5000', isPlain: true, isLoopback: true }
const plain: Endpoint = { url: 'http://cache.example:80', host: 'cache.example', isPlain: true, isLoopback: false }
const encrypted: Endpoint = {
  ...{ url: 'https://cache.example:8443', host: 'cache.example:8443', isPlain: false, isLoopback: false },
  ca: { path: 'ca.pem', text: 'the authority' },
  identity: { certificate: { path: 'me.pem', text: 'mine' }, key: { path: 'me.key', text: 'canary' } },
}

const usual: Setup = {
  endpoint: local,
  mirrors: [hub],
  fallsBack: true,
  needsLogin: false,
  servesHubByDefault: true,
}

function recipe(name: string, setup: Partial<Setup> = {}): Recipe {
  const client = clientNamed(name)
  if (!client) throw new Error(`there is no client ${name}`)
  const homes = { home: '/home/me', config: '/home/me/.config', state: '/home/me/.local/state' }
  const whole = { ...usual, ...(client.perUser === 'always' && { user: homes }), ...setup }
  return client.recipe(whole)
}

/** What a file of a recipe is to hold in the place of `present`. */
function text(recipe: Recipe, path: string, present?: string): string {
  const file = recipe.files.find((file) => file.path === path)
  if (!file) throw new Error(`${path} is not among ${recipe.files.map(({ path }) => path).join(', ')}`)
  return file.content(present)
}

const toml = (recipe: Recipe, path: string, present?: string) => parseToml(text(recipe, path, present))

describe('a recipe in deploy/clients', () => {
  const files = clients.flatMap((client) => {
    const { files, document } = client.perUser === 'always' ? recipe(client.name) : client.recipe(usual)
    const named = files.map(({ path, content }) => ({ name: basename(path), text: content(undefined) }))
    return [...named, ...(document === undefined ? [] : [{ name: 'mirrors.yaml', text: document }])].map((file) => ({
      ...file,
      client: client.name,
    }))
  })
  const shown = ['buildkit', 'containerd', 'docker', 'k3s', 'kind', 'podman', 'talos']

  it.each(files.filter(({ client }) => shown.includes(client)))(
    'is what the command says: $client/$name',
    async ({ client, name, text }) => {
      await expect(text).toMatchFileSnapshot(join(root, 'deploy', 'clients', client, name))
    },
  )

  it('is there for each of these, and nothing else is', async () => {
    const there = await readdir(join(root, 'deploy', 'clients'), { recursive: true, withFileTypes: true })
    const paths = there
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(basename(parentPath), name))
    const wanted = files.filter(({ client }) => shown.includes(client)).map(({ client, name }) => join(client, name))
    expect(paths.sort()).toEqual(wanted.sort())
  })
})

describe.each(['containerd', 'docker', 'kind', 'minikube', 'microk8s', 'k0s'])('hosts.toml of %s', (name) => {
  const hosts = (made: Recipe, registry: string): Record<string, unknown> & { path: string } => {
    const path = made.files.find(({ path }) => path.endsWith(`/certs.d/${registry}/hosts.toml`))?.path ?? ''
    return { ...toml(made, path), path }
  }

  it('leads to the instance, and past it where that does not answer', () => {
    expect(hosts(recipe(name), 'docker.io')).toMatchObject({
      server: 'https://registry-1.docker.io',
      host: { 'http://127.0.0.1:5000': { capabilities: ['pull', 'resolve'], dial_timeout: '1s' } },
    })
  })

  it('has the prefix in the path where a namespace would not do', () => {
    const { host, server } = hosts(recipe(name, { mirrors: [hub, lab] }), 'lab.example:5000')
    expect(server).toBe('http://lab.example:5000')
    expect(host).toMatchObject({ 'http://127.0.0.1:5000/v2/lab': { override_path: true } })
  })

  it('leads nowhere else where that is not wanted', () => {
    const made = recipe(name, { mirrors: [hub, lab], fallsBack: false })
    const capabilities = ['pull', 'resolve']
    expect(hosts(made, 'docker.io')).toMatchObject({
      ...{ server: local.url, capabilities, host: { [local.url]: { capabilities } } },
    })
    const prefixed = `${local.url}/v2/lab`
    expect(hosts(made, 'lab.example:5000')).toMatchObject({
      ...{ server: prefixed, capabilities, override_path: true },
      host: { [prefixed]: { override_path: true } },
    })
  })

  it('trusts an authority by a copy beside it, and shows a certificate', () => {
    const made = recipe(name, { endpoint: encrypted })
    const { path, host } = hosts(made, 'docker.io')
    const { ca, client } = Object(host)['https://cache.example:8443']
    const read = (file: string) => text(made, resolve(path, '..', file))
    expect(read(ca)).toBe('the authority')
    expect(client.map((pair: string[]) => pair.map(read))).toEqual([['mine', 'canary']])
    expect(made.files.filter(({ isSecret }) => isSecret).map(({ copyOf }) => copyOf)).toContain('me.key')
    expect(hosts(made, 'cache.example:8443')).toMatchObject({ host: { 'https://cache.example:8443': { ca } } })
  })

  it('has images pulled by the name of the instance, where it would be taken to speak HTTPS', () => {
    expect(hosts(recipe(name, { endpoint: plain }), 'cache.example')).toMatchObject({
      ...{ server: plain.url, host: { [plain.url]: { capabilities: ['pull', 'resolve'] } } },
    })
  })
})

describe('daemon.json', () => {
  const path = '/etc/docker/daemon.json'

  it('keeps what it holds, in its layout, and asks us before others', () => {
    const present = `{\n\t"log-level": "warn",\n\t"registry-mirrors": ["https://other.example"],\n\t"__proto__": 1\n}\n`
    const merged = text(recipe('docker'), path, present)
    expect(merged).toMatch(/^{\n\t"log-level": "warn",\n/)
    expect(Object.entries(JSON.parse(merged))).toEqual([
      ['log-level', 'warn'],
      ['registry-mirrors', ['http://127.0.0.1:5000', 'https://other.example']],
      ['__proto__', 1],
      ['insecure-registries', ['127.0.0.1:5000']],
    ])
    expect(text(recipe('docker'), path, merged)).toBe(merged)
    expect(text(recipe('docker'), path, ' ')).toBe(text(recipe('docker'), path))
  })

  it.each([
    ['{"log-level": ', 'is not JSON'],
    ['[]', 'is no JSON object'],
    ['null', 'is no JSON object'],
    ['{"registry-mirrors": "https://other.example"}', 'registry-mirrors is no list'],
  ])('is not touched where it is %s', (present, message) => {
    expect(() => text(recipe('docker'), path, present)).toThrow(message)
  })

  it('is none where the instance is encrypted and names without a registry lead elsewhere', () => {
    const made = recipe('docker', { endpoint: encrypted, servesHubByDefault: false })
    expect(made.files.map(({ path }) => path)).not.toContain(path)
    expect(made.notes.join()).toContain('nothing is mirrored')
    const encryptedHub = JSON.parse(text(recipe('docker', { endpoint: encrypted }), path))
    expect(encryptedHub).toEqual({ 'registry-mirrors': ['https://cache.example:8443'] })
  })
})

describe('registries.conf', () => {
  const path = '/etc/containers/registries.conf.d/50-cistern.conf'

  it('mirrors each registry by its prefix', () => {
    const bare: Mirror = { ...hub, registry: 'bare.example', prefix: '' }
    expect(toml(recipe('buildah', { mirrors: [hub, lab, bare] }), path)).toEqual({
      registry: [
        {
          prefix: 'docker.io',
          location: 'docker.io',
          mirror: [{ location: '127.0.0.1:5000/docker.io', insecure: true }],
        },
        {
          ...{ prefix: 'lab.example:5000', location: 'lab.example:5000', insecure: true },
          mirror: [{ location: '127.0.0.1:5000/lab', insecure: true }],
        },
        {
          prefix: 'bare.example',
          location: 'bare.example',
          mirror: [{ location: '127.0.0.1:5000', insecure: true }],
        },
        { location: '127.0.0.1:5000', insecure: true },
      ],
    })
  })

  it('puts the instance in the place of the registry where nothing else is to be asked', () => {
    expect(toml(recipe('podman', { endpoint: encrypted, fallsBack: false }), path)).toEqual({
      registry: [{ prefix: 'docker.io', location: 'cache.example:8443/docker.io' }],
    })
  })

  it('stands beside the certificates of the instance, of one user below the home', () => {
    const user = { home: '/home/me', config: '/elsewhere', state: '/home/me/.local/state' }
    const { files } = recipe('podman', { endpoint: encrypted, user })
    expect(files.map(({ path }) => path)).toEqual([
      '/home/me/.config/containers/registries.conf.d/50-cistern.conf',
      '/home/me/.config/containers/certs.d/cache.example:8443/ca.crt',
      '/home/me/.config/containers/certs.d/cache.example:8443/client.cert',
      '/home/me/.config/containers/certs.d/cache.example:8443/client.key',
    ])
  })
})

describe.each(['k3s', 'rke2'])('registries.yaml of %s', (name) => {
  const path = `/etc/rancher/${name}/registries.yaml`

  it('has endpoints, with the prefix where a namespace would not do, and certificates', () => {
    const made = recipe(name, { mirrors: [hub, lab], endpoint: encrypted })
    const { mirrors, configs } = parseYaml(text(made, path))
    expect(mirrors).toEqual({
      'docker.io': { endpoint: ['https://cache.example:8443'] },
      'lab.example:5000': { endpoint: ['https://cache.example:8443/v2/lab'] },
    })
    const { ca_file, cert_file, key_file } = configs['cache.example:8443'].tls
    expect([ca_file, cert_file, key_file].map((file) => text(made, file))).toEqual(['the authority', 'mine', 'canary'])
  })

  it('names the instance itself, where it would be taken to speak HTTPS', () => {
    const { mirrors } = parseYaml(text(recipe(name, { endpoint: plain }), path))
    expect(mirrors).toMatchObject({ 'cache.example': { endpoint: ['http://cache.example:80'] } })
  })

  it('keeps what is there, comments too, and puts us in front', () => {
    const present = `# ours since 2019
mirrors:
  docker.io: # the old one
    endpoint:
      - "https://old.example" # slow
  quay.io:
    endpoint: ["https://quay.example"]
configs:
  old.example:
    auth: { username: me, password: "0123" }
`
    const merged = text(recipe(name), path, present)
    for (const comment of ['# ours since 2019', '# the old one', '# slow']) expect(merged).toContain(comment)
    expect(parseYaml(merged)).toEqual({
      mirrors: {
        'docker.io': { endpoint: ['http://127.0.0.1:5000', 'https://old.example'] },
        'quay.io': { endpoint: ['https://quay.example'] },
      },
      configs: { 'old.example': { auth: { username: 'me', password: '0123' } } },
    })
    expect(text(recipe(name), path, merged)).toBe(merged)
  })

  it.each([
    '',
    '# nothing yet\n',
    'mirrors:\n',
    'mirrors: { docker.io: }\n',
    'mirrors: { docker.io: { endpoint: } }\n',
  ])('is filled where it is %j', (present) => {
    expect(parseYaml(text(recipe(name), path, present))).toEqual({
      mirrors: { 'docker.io': { endpoint: ['http://127.0.0.1:5000'] } },
    })
  })

  it.each([
    ['mirrors: [', /is not YAML/],
    ['a: 1\n---\nb: 2\n', /is not YAML/],
    ['- a', /contents that are no map/],
    ['mirrors: [a]', /mirrors that are no map/],
    ['mirrors: { docker.io: x }', /mirrors\.docker\.io that is no map/],
    ['mirrors: { docker.io: { endpoint: x } }', /endpoint of docker\.io that is no list/],
    ['mirrors: { docker.io: { rewrite: { "^a": b } } }', /has a rewrite for docker\.io/],
  ])('is not touched where it is %s', (present, message) => {
    expect(() => text(recipe(name), path, present)).toThrow(message)
  })
})

describe('buildkitd.toml', () => {
  const path = '/etc/buildkit/buildkitd.toml'

  it('mirrors by prefix, and says how the instance is spoken to', () => {
    expect(toml(recipe('buildx', { mirrors: [hub, lab] }), path)).toEqual({
      registry: {
        'docker.io': { mirrors: ['127.0.0.1:5000/docker.io'] },
        'lab.example:5000': { mirrors: ['127.0.0.1:5000/lab'], http: true },
        '127.0.0.1:5000': { http: true },
      },
    })
    const made = recipe('buildkit', { endpoint: encrypted })
    const { ca, keypair } = Object(toml(made, path).registry)['cache.example:8443']
    expect(ca.map((file: string) => text(made, file))).toEqual(['the authority'])
    expect(
      keypair.map(({ cert, key }: Record<string, string>) => [cert, key].map((file) => text(made, `${file}`))),
    ).toEqual([['mine', 'canary']])
  })

  it('keeps what is there, byte for byte', () => {
    const present =
      'debug = true # for now\n[registry."quay.io"]\n  mirrors = ["quay.example"]\n[worker.oci]\n  enabled = true'
    const merged = text(recipe('buildkit'), path, present)
    expect(merged.startsWith(`${present}\n`)).toBe(true)
    expect(parseToml(merged)).toMatchObject({
      debug: true,
      worker: { oci: { enabled: true } },
      registry: { 'quay.io': { mirrors: ['quay.example'] }, 'docker.io': { mirrors: ['127.0.0.1:5000/docker.io'] } },
    })
  })

  it.each([
    ['debug = ', 'is not TOML'],
    ['[registry."docker.io"]\nhttp = true', 'has a table for docker.io already'],
    ['registry."127.0.0.1:5000".http = true', 'has a table for 127.0.0.1:5000 already'],
    ['registry = {}', 'takes no further tables'],
    ['registry = 1', 'takes no further tables'],
  ])('is not touched where it is %s', (present, message) => {
    expect(() => text(recipe('buildkit'), path, present)).toThrow(message)
  })
})

it('kind mounts the directory that the recipe fills, at the place that its nodes read', () => {
  const made = recipe('kind')
  expect(parseYaml(text(made, '/etc/cistern/kind/cluster.yaml'))).toEqual({
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    nodes: [
      {
        role: 'control-plane',
        extraMounts: [
          { hostPath: '/etc/cistern/kind/certs.d', containerPath: '/etc/containerd/certs.d', readOnly: true },
        ],
      },
    ],
  })
  expect(text(made, '/etc/cistern/kind/certs.d/docker.io/hosts.toml')).toContain('[host.')
  expect(made.notes.join()).toContain('127.0.0.1:5000 is the node itself')
})

describe('documents of Talos', () => {
  const documents = (setup: Partial<Setup>) =>
    parseAllDocuments(recipe('talos', setup).document ?? '').map((document) => document.toJS())

  it('are one for each registry', () => {
    const endpoints = [{ url: 'http://127.0.0.1:5000' }]
    const common = { apiVersion: 'v1alpha1', kind: 'RegistryMirrorConfig' }
    expect(documents({ mirrors: [hub, lab] })).toEqual([
      { ...common, name: 'docker.io', endpoints },
      {
        ...{ ...common, name: 'lab.example:5000' },
        endpoints: [{ url: 'http://127.0.0.1:5000/v2/lab', overridePath: true }],
      },
    ])
    expect(documents({ fallsBack: false })).toMatchObject([{ name: 'docker.io', skipFallback: true }])
  })

  it('name the instance, and the authority that it is trusted by', () => {
    expect(documents({ endpoint: plain })).toMatchObject([
      { name: 'docker.io' },
      { kind: 'RegistryMirrorConfig', name: 'cache.example', endpoints: [{ url: 'http://cache.example:80' }] },
    ])
    const { document = '', notes } = recipe('talos', { endpoint: encrypted })
    expect(parseAllDocuments(document).map((each) => each.toJS())).toMatchObject([
      { name: 'docker.io' },
      { apiVersion: 'v1alpha1', kind: 'RegistryTLSConfig', name: 'cache.example:8443', ca: 'the authority' },
    ])
    expect(document + notes.join()).not.toContain('canary')
  })
})

it('programs without mirrors are given other names', () => {
  const { document } = recipe('helm', { mirrors: [hub, lab] })
  expect(document).toBe('docker.io/         127.0.0.1:5000/docker.io/\nlab.example:5000/  127.0.0.1:5000/lab/\n')
})

describe('a login', () => {
  it.each(clients.map(({ name }) => name))('is asked for by the recipe of %s, and by none without need', (name) => {
    expect(recipe(name, { needsLogin: true }).notes.join()).toContain('A login is needed')
    expect(recipe(name).notes.join()).not.toContain('login')
  })
})

it('every client has names of its own', () => {
  const names = clients.flatMap(({ name, aliases }) => [name, ...aliases])
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
})

it('the configuration of a node in the chart says the same as the recipe of containerd', () => {
  const script = readFileSync(join(root, 'helm', 'files', 'node-configuration.mts'), 'utf8')
  const template = /\$\{mark\}\n(server[\s\S]*?)`/.exec(script)?.[1] ?? ''
  const written = template
    .replace(/\$\{registry === [^}]*\}/, 'registry-1.docker.io')
    .replace(/\$\{mirror\}/, 'http://127.0.0.1:5000')
  const { server, host } = toml(recipe('containerd'), '/etc/containerd/certs.d/docker.io/hosts.toml')
  const { dial_timeout: _, ...terms } = Object(host)['http://127.0.0.1:5000'] // it is written while the mirror answers
  expect(parseToml(written)).toEqual({ server, host: { 'http://127.0.0.1:5000': terms } })
})
