import { globSync, readFileSync } from 'node:fs'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments, stringify } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { selfSigned } from '../support/faulty-certificate.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'
import { type PodSpec, restrictedFaults } from './pod-security.ts'
import { valuesSchema, valuesSchemaFile } from './values-schema.ts'

type Resource = { kind: string; metadata: { name: string }; data?: Record<string, string>; spec?: object }
type Workload = { spec: { template: { spec: PodSpec } } }

const chart = join(root, 'helm')

/** The first that the chart is for, and the latest that there are schemas of. */
const kubernetesVersions = ['1.27', '1.37']

const shapes = globSync('shapes/*.yaml', { cwd: import.meta.dirname }).map((file) => basename(file, '.yaml'))
const shapeFile = (shape: string) => join(import.meta.dirname, 'shapes', `${shape}.yaml`)
const read = (path: string) => readFileSync(join(chart, path), 'utf8')
const helm = (...args: string[]) => run(requireTool('helm'), args)

const template = async (...args: string[]): Promise<string> => {
  const { stdout } = await helm('template', 'cistern', chart, '--kube-version', '1.37', ...args)
  return stdout
}

const resourcesOf = (rendered: string): Resource[] =>
  parseAllDocuments(rendered, { strict: true, uniqueKeys: true }).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS()
  })

describe('the chart', () => {
  it('has a schema that follows the one of the configuration: node test/deploy/values-schema.ts writes it', () => {
    expect(readFileSync(valuesSchemaFile, 'utf8')).toBe(valuesSchema())
  })

  it('has the version of the product, and says for which Kubernetes it is', () => {
    const [oldest] = kubernetesVersions
    const { version } = manifest
    expect(parse(read('Chart.yaml'))).toMatchObject({ version, appVersion: version, kubeVersion: `>=${oldest}.0-0` })
  })
})

withTools('helm', 'kubernetes-validate')('the chart', () => {
  it.each(shapes)('%s: passes helm lint and the schemas of Kubernetes, and renders what it did', async (shape) => {
    await helm('lint', '--strict', '--quiet', '--kube-version', '1.37', '--values', shapeFile(shape), chart)
    const rendered = await template('--values', shapeFile(shape))
    await validate(rendered)
    const snapshot = resourcesOf(rendered).map((resource) => stringify(withoutFiles(resource), { lineWidth: 120 }))
    await expect(snapshot.join('---\n')).toMatchFileSnapshot(join('shapes', 'rendered', `${shape}.yaml`))
  })

  it.each(shapes)(
    '%s: gives the image a configuration that it accepts, of which the pod has every file',
    async (shape) => {
      const resources = resourcesOf(await template('--values', shapeFile(shape)))
      const text = configIn(resources)
      await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-chart-'))
      const file = join(directory.path, 'cistern.yaml')
      const { cert, key } = selfSigned()
      for (const [name, pem] of Object.entries({ 'tls.crt': cert, 'tls.key': key, 'ca.crt': cert })) {
        await writeFile(join(directory.path, name), pem)
      }
      await writeFile(file, text.replaceAll('/run/secrets/registry.example.com', directory.path))
      const image = { CISTERN_LISTEN: '0.0.0.0:5000', CISTERN_ADMIN_LISTEN: '0.0.0.0:5001' }
      const { stdout } = await run(process.execPath, [join(root, 'src', 'main.ts'), 'check-config', '--config', file], {
        env: { PATH: process.env.PATH, ...image },
      })

      const mounts = JSON.stringify(resources)
      for (const [, secret] of text.matchAll(/\/run\/secrets\/([^/]+)/g)) {
        expect(mounts).toContain(`"mountPath":"/run/secrets/${secret}"`)
        expect(mounts).toContain(`"secretName":"${secret}"`)
      }
      const { rules: written = [] } = parse(text) as { rules?: { prefix: string }[] }
      const { rules: effective } = parse(stdout) as { rules: { prefix: string }[] }
      expect(effective.map(({ prefix }) => prefix)).toEqual(expect.arrayContaining(written.map(({ prefix }) => prefix)))
    },
  )

  it.each(['defaults', 'shared', 'sealed', 'encrypted'])(
    '%s: is content with the Pod Security level restricted',
    async (shape) => {
      const workloads = resourcesOf(
        await template('--values', shapeFile(shape), '--set', 'nodeConfiguration.enabled=false'),
      )
      const [workload] = workloads.filter(({ kind }) => kind === 'StatefulSet') as unknown as Workload[]
      expect(restrictedFaults(workload?.spec.template.spec ?? expect.unreachable())).toEqual([])
    },
  )

  it('per-node: asks for more than that for the disk, the port, and who hands the disk over', async () => {
    const workloads = resourcesOf(await template('--values', shapeFile('per-node')))
    const daemon = workloads.find(({ kind, metadata }) => kind === 'DaemonSet' && metadata.name === 'cistern')
    expect(restrictedFaults((daemon as unknown as Workload).spec.template.spec)).toEqual([
      'volume data is a hostPath',
      'own-data: runs as root',
      'own-data: adds CHOWN',
      'cistern: has a hostPort',
    ])
  })

  it.each([
    ['', '45'],
    ['0', '15'],
    ['500ms', '16'],
    ['90s', '105'],
    ['1.5m', '105'],
    ['2h', '7215'],
  ])('gives pods time for timeouts.drain: %j', async (drain, seconds) => {
    const rendered = await template(...(drain === '' ? [] : ['--set-string', `config.timeouts.drain=${drain}`]))
    expect(/terminationGracePeriodSeconds: (\d+)/.exec(rendered)?.[1]).toBe(seconds)
  })

  it('says in its configuration how clients reach it, unless told so', async () => {
    const publicUrl = async (...args: string[]) =>
      (parse(configIn(resourcesOf(await template(...args)))) as { publicUrl: string }).publicUrl
    expect(await publicUrl('--namespace', 'cache')).toBe('http://cistern.cache.svc:5000')
    expect(await publicUrl('--set', 'kind=DaemonSet')).toBe('http://127.0.0.1:5000')
    expect(await publicUrl('--set', 'kind=DaemonSet,hostPort.ip=::1')).toBe('http://[::1]:5000')
    expect(await publicUrl('--set', 'kind=DaemonSet,hostPort.ip=0.0.0.0')).toBe('http://cistern.default.svc:5000')
    expect(await publicUrl('--set', 'config.publicUrl=https://r.example')).toBe('https://r.example')
  })

  it('leaves the disk of a node as much room as kubelet wants, unless told how much', async () => {
    const minFree = async (...args: string[]) =>
      (parse(configIn(resourcesOf(await template(...args)))) as { cache: { minFree?: string } }).cache.minFree
    expect(await minFree()).toBeUndefined()
    expect(await minFree('--set', 'kind=DaemonSet')).toBe('20%')
    expect(await minFree('--set', 'kind=DaemonSet,config.cache.minFree=1GiB')).toBe('1GiB')
  })

  it('bounds connections by TLS by what pods have memory for, unless told how many', async () => {
    const tls = 'config.tls.certFile=/c,config.tls.keyFile=/k'
    const connections = async (...args: string[]) =>
      (parse(configIn(resourcesOf(await template(...args)))) as { limits?: object }).limits
    expect(await connections()).toBeUndefined()
    expect(await connections('--set', tls)).toEqual({ connections: 3000 })
    expect(await connections('--set', `${tls},config.limits.connections=9`)).toEqual({ connections: 9 })
  })

  it('has nodes reach the cache by an address of the service that is fixed', async () => {
    const fixed = 'nodeConfiguration.enabled=true,service.clusterIP=10.96.0.50,service.port=80'
    const rendered = await template('--set', fixed, '--show-only', 'templates/node-configuration.yaml')
    expect(rendered).toContain('{ name: MIRROR_HOST, value: "10.96.0.50" }')
    expect(rendered).toContain('{ name: MIRROR_PORT, value: "80" }')
  })

  it('puts the most particular pattern of tagTtl first, for the first that matches counts', async () => {
    const rendered = await template('--values', shapeFile('shared'), '--show-only', 'templates/configmap.yaml')
    expect([...rendered.matchAll(/^ {10}"(.+)": "(.+)"$/gm)].map(([, ...entry]) => entry)).toEqual([
      ['latest', '5m'],
      ['1.10', '0'],
      ['v*', '24h'],
      ['*', '10m'],
    ])
  })

  it('starts its pods anew where the configuration changes, and only there', async () => {
    const checksum = async (...args: string[]) =>
      /checksum\/config: (\w{64})/.exec(await template(...args))?.[1] ?? expect.unreachable()
    const before = await checksum()
    expect(await checksum('--set', 'resources.limits.memory=1Gi')).toBe(before)
    expect(await checksum('--set', 'config.offline=true')).not.toBe(before)
  })

  it.each([
    ['an unknown key', ['--set', 'config.cash.maxSize=1GiB'], 'cash'],
    ['a value that the configuration refuses', ['--set', 'config.throttledStatus=418'], 'throttledStatus'],
    ['where it listens', ['--set', 'config.listen=0.0.0.0:1'], 'listen'],
    ['an unknown shape', ['--set', 'kind=Deployment'], 'kind'],
    ['nodes without a way to the cache', ['--set', 'nodeConfiguration.enabled=true'], 'nodePort'],
    [
      'nodes without an account',
      ['--set', 'kind=DaemonSet,nodeConfiguration.enabled=true,config.auth.mode=required'],
      'needs a cache that is open',
    ],
    ['a cache that would not start', ['--set', 'config.allowPlainHttp=false'], 'config needs tls, or allowPlainHttp'],
    [
      'a file that nothing mounts',
      ['--set', 'config.secrets.keyFile=/run/secrets/key/key,existingSecrets={keys}'],
      'config names a file in /run/secrets/key,',
    ],
    ['a registry that is a path', ['--set', 'nodeConfiguration.registries={../../etc}'], 'registries'],
    [
      'a password in a ConfigMap',
      ['--set-json', 'config.rules=[{"prefix":"a","upstream":"b","credential":{"username":"c","password":"d"}}]'],
      'credential',
    ],
  ])('refuses %s', async (_, args, what) => {
    await expect(template(...args)).rejects.toThrow(what)
  })

  it('carries the alerts, the dashboard and the script as they are', async () => {
    const resources = resourcesOf(await template('--values', shapeFile('shared')))
    const data = (key: string) => resources.find(({ data }) => data?.[key])?.data?.[key]?.trim()
    expect(resources.find(({ kind }) => kind === 'PrometheusRule')?.spec).toEqual(parse(read('files/alerts.yaml')))
    expect(data('cistern.json')).toBe(read('files/dashboard.json').trim())
    expect(data('node-configuration.mts')).toBe(read('files/node-configuration.mts').trim())
  })
})

const configIn = (resources: Resource[]): string =>
  resources.find(({ data }) => data?.['cistern.yaml'])?.data?.['cistern.yaml'] ?? ''

/** Against the schemas of Kubernetes; what is not of Kubernetes itself has none there. */
async function validate(rendered: string): Promise<void> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-chart-'))
  const file = join(directory.path, 'rendered.yaml')
  await writeFile(file, rendered)
  for (const version of kubernetesVersions) {
    await run(requireTool('kubernetes-validate'), ['--strict', '--quiet', '--kubernetes-version', version, file])
  }
}

/** Files that are carried as they are would drown the rest. */
function withoutFiles(resource: Resource): Resource {
  if (resource.kind === 'PrometheusRule') return { ...resource, spec: {} }
  const carried = ['cistern.json', 'node-configuration.mts']
  const { data } = resource
  if (!data) return resource
  return {
    ...resource,
    data: Object.fromEntries(Object.entries(data).map(([k, v]) => [k, carried.includes(k) ? '' : v])),
  }
}
