import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { imagesInManifests } from '../../src/transfer/sources/kubernetes.ts'
import { imagesNamed, isPath } from '../../src/transfer/sources/source.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { tar } from '../support/tar.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

const named = (...args: string[]) => imagesNamed(args, Readable.from([]))

/** Writes files below a directory of their own, and works with it. */
async function withFiles<T>(files: Record<string, string | Uint8Array>, use: (directory: string) => Promise<T>) {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-sources-'))
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory.path, path)), { recursive: true })
    await writeFile(join(directory.path, path), content)
  }
  return await use(directory.path)
}

describe('what is to be warmed', () => {
  it('is named as it is, once, beside lists with comments', async () => {
    const list = '# the base\nnginx:1.29\n\n  quay.io/a/b@sha256:abc # pinned\r\nnginx:1.29\nredis#1\n'
    await withFiles({ 'images.txt': list }, async (directory) => {
      expect(await named('redis', join(directory, 'images.txt'), 'redis')).toEqual({
        references: ['redis', 'nginx:1.29', 'quay.io/a/b@sha256:abc', 'redis#1'],
        faults: [],
      })
    })
  })

  it('comes by the standard input, as a list or as manifests', async () => {
    const list = await imagesNamed(['-'], Readable.from(['nginx:1\nredis:2\n']))
    expect(list.references).toEqual(['nginx:1', 'redis:2'])
    const pod = 'kind: Pod\nspec: { containers: [{ image: nginx:1 }] }\n'
    expect((await imagesNamed(['-'], Readable.from([pod]))).references).toEqual(['nginx:1'])
  })

  it.each([
    ['-', true],
    ['./chart', true],
    ['../chart', true],
    ['/etc/images', true],
    ['chart-1.0.tgz', true],
    ['pods.yaml', true],
    ['images.txt', true],
    ['nginx', false],
    ['docker.io/library/nginx:1.29', false],
    ['ghcr.io/a/b:json', false],
  ])('is a file where it is written like one: %s', (argument, expected) => {
    expect(isPath(argument)).toBe(expected)
  })

  it('is not guessed where a file is not there, or not what its name says', async () => {
    await expect(named('./nowhere')).rejects.toThrow('ENOENT')
    await withFiles({ 'empty/x': '', 'a.yaml': 'kind: [}', 'b.tgz': 'text' }, async (directory) => {
      const at = (name: string) => named(join(directory, name))
      await expect(at('empty')).rejects.toThrow('empty: this is no Helm chart: it has no Chart.yaml')
      await expect(at('a.yaml')).rejects.toThrow('a.yaml: these are no Kubernetes manifests')
      await expect(at('b.tgz')).rejects.toThrow('b.tgz: it cannot be read to its end')
    })
  })
})

it('finds the images of containers of every sort in whatever Kubernetes has, and of volumes', () => {
  const spec = (...images: string[]) => ({ containers: images.map((image) => ({ image })) })
  const documents = [
    { apiVersion: 'v1', kind: 'Pod', spec: { ...spec('a:1', 'b:1'), initContainers: [{ image: 'c:1' }] } },
    { kind: 'Deployment', spec: { template: { spec: { ...spec('d:1'), ephemeralContainers: [{ image: 'e:1' }] } } } },
    { kind: 'CronJob', spec: { jobTemplate: { spec: { template: { spec: spec('f:1', 'a:1') } } } } },
    { kind: 'List', items: [{ kind: 'Pod', spec: { volumes: [{ image: { reference: 'g:1' } }, { emptyDir: {} }] } }] },
    { kind: 'Custom', spec: { podTemplate: { spec: spec('h@sha256:1') } } },
    { kind: 'ConfigMap', data: { image: 'not:this', containers: 'nor this' } },
    null,
  ]
  const wanted = ['a:1', 'b:1', 'c:1', 'd:1', 'e:1', 'f:1', 'g:1', 'h@sha256:1']
  expect(imagesInManifests(documents.map((document) => stringify(document)).join('---\n'))).toEqual(wanted)
  expect(imagesInManifests(JSON.stringify({ kind: 'List', items: documents }))).toEqual(wanted)
  const bomb = [
    'a: &a [x, x]',
    ...'bcdefghijk'.split('').map((key, i) => `${key}: &${key} [${`*${'abcdefghij'[i]},`.repeat(9)}]`),
  ]
  for (const wrong of ['b: *c', 'a: &a [*a]', bomb.join('\n'), '{"a":']) {
    expect(() => imagesInManifests(wrong)).toThrow('these are no Kubernetes manifests: ')
  }
})

describe('a Helm chart', () => {
  const chartOf = (name: string, members: object, values: object) => ({
    'Chart.yaml': stringify({ apiVersion: 'v2', name, version: '1.0.0', ...members }),
    'values.yaml': stringify(values),
    'templates/pod.yaml': 'image: {{ .Values.never }}',
  })
  const prefixed = (prefix: string, files: Record<string, string>) =>
    Object.fromEntries(Object.entries(files).map(([path, text]) => [`${prefix}${path}`, text]))
  const bytes = (files: Record<string, string>) =>
    Object.fromEntries(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]))

  it.each([
    [{ image: { repository: 'quay.io/a/b', tag: 'v1' } }, 'quay.io/a/b:v1'],
    [{ image: { registry: 'quay.io', repository: 'a/b', tag: 'v1' } }, 'quay.io/a/b:v1'],
    [{ image: { registry: 'quay.io', repository: 'quay.io/a/b', tag: 'v1' } }, 'quay.io/a/b:v1'],
    [{ image: { registry: '', repository: 'a/b', tag: '' } }, 'a/b:9.9'],
    [{ image: { repository: 'a/b' } }, 'a/b:9.9'],
    [{ image: { repository: 'a/b', tag: 1.5 } }, 'a/b:1.5'],
    [{ image: { repository: 'a/b', tag: 'v1', digest: `sha256:${'0'.repeat(64)}` } }, `a/b@sha256:${'0'.repeat(64)}`],
    [{ image: { registry: 'quay.io', name: 'b', tag: 'v1' } }, 'quay.io/b:v1'],
    [{ controller: { registry: 'quay.io', image: 'a/b', tag: 'v1' } }, 'quay.io/a/b:v1'],
    [{ controller: { repository: 'a/b', tag: 'v1' } }, 'a/b:v1'],
    [{ a: [{ sidecar: { initImage: 'a/b:v1' } }] }, 'a/b:v1'],
    [{ image: 'a/b', tag: 'v1' }, 'a/b:v1'],
    [{ image: 'a/b' }, 'a/b'],
    [
      { global: { imageRegistry: 'mirror.example' }, image: { registry: 'x.io', repository: 'a', tag: '1' } },
      'mirror.example/a:1',
    ],
  ])('names by %j the image %s', async (values, image) => {
    await withFiles(chartOf('app', { appVersion: 9.9 }, values), async (directory) => {
      expect(await named(directory)).toEqual({ references: [image], faults: [] })
    })
  })

  it.each([
    [{ source: { repository: 'https://git.example/app' } }, []],
    [{ image: { repository: 'a/b' } }, ['chart app: image names a/b without a tag, and the chart has no appVersion']],
    [
      { image: { repository: '{{ .Values.x }}', tag: '1' } },
      [expect.stringContaining('image is "{{ .Values.x }}:1", which is no reference')],
    ],
  ])('names nothing by %j', async (values, faults) => {
    await withFiles(chartOf('app', {}, values), async (directory) => {
      expect(await named(directory)).toEqual({ references: [], faults })
    })
  })

  it('has subcharts, with the values that it gives them, unless they are off, packed or not', async () => {
    const image = (repository: string) => ({ image: { repository } })
    const dependencies = [
      { name: 'db', alias: 'store', condition: 'store.enabled,db.enabled' },
      { name: 'queue', condition: 'queue.enabled' },
      { name: 'missing' },
    ]
    const values = {
      ...image('app'),
      global: { imageRegistry: 'mirror.example' },
      store: { image: { tag: 'given' } },
      queue: { enabled: false },
    }
    const packed = (name: string, files: Record<string, string>) => gzipSync(tar(bytes(prefixed(`${name}/`, files))))
    const files = {
      ...chartOf('app', { appVersion: '1', dependencies }, values),
      'charts/db-2.0.0.tgz': packed('db', {
        ...chartOf('db', { appVersion: '2' }, { ...image('db'), metrics: image('exporter') }),
        ...prefixed('charts/inner/', chartOf('inner', { appVersion: '4' }, image('inner'))),
      }),
      ...prefixed('charts/queue/', chartOf('queue', { appVersion: '3' }, image('queue'))),
      ...prefixed('charts/extra/', chartOf('extra', { appVersion: '5' }, image('extra'))),
    }
    const expected = {
      references: ['app:1', 'db:given', 'exporter:2', 'inner:4', 'extra:5'].map((name) => `mirror.example/${name}`),
      faults: ['chart app: it depends on missing, which is not in its charts/ (helm dependency build)'],
    }
    await withFiles(files, async (directory) => expect(await named(directory)).toEqual(expected))
    const archive = tar(
      Object.fromEntries(Object.entries(files).map(([path, text]) => [`app/${path}`, Buffer.from(text)])),
    )
    await withFiles({ 'app-1.0.0.tgz': gzipSync(archive) }, async (directory) => {
      expect(await named(join(directory, 'app-1.0.0.tgz'))).toEqual(expected)
    })
  })

  it('is refused where it is too large, or no YAML', async () => {
    const files = { ...chartOf('app', {}, {}), 'values.yaml': 'a: [' }
    await withFiles(files, async (directory) => {
      await expect(named(directory)).rejects.toThrow('values.yaml is no YAML that a chart could have')
    })
    await withFiles({ ...files, 'values.yaml': Buffer.alloc(17 * 1024 * 1024, ' ') }, async (directory) => {
      await expect(named(directory)).rejects.toThrow('values.yaml is larger than anything that a chart has')
    })
  })
})

withTools('helm')('a chart that helm renders', () => {
  it('has the images that its values name', async () => {
    const chart = join(root, 'helm')
    const { stdout } = await run(requireTool('helm'), ['template', '--kube-version', '1.34.0', chart])
    const { references } = await named(chart)
    expect(references).toHaveLength(1)
    expect((await imagesNamed(['-'], Readable.from([stdout]))).references).toEqual(references)
  })
})
