import { type Document, isMap, isScalar, isSeq, parseDocument, YAMLMap } from 'yaml'
import { certificateFiles } from './certificates.ts'
import { type Client, type Endpoint, mark, type Setup } from './client.ts'
import type { Mirror } from './mirrors.ts'

export const k3s: Client = rancher('k3s', 'systemctl restart k3s # on agents: k3s-agent')

export const rke2: Client = rancher('rke2', 'systemctl restart rke2-server # on agents: rke2-agent')

/** https://docs.k3s.io/installation/private-registry */
function rancher(name: string, restart: string): Client {
  const directory = `/etc/rancher/${name}`
  const placeOf = (of: keyof typeof tlsKeys) => `${directory}/cistern-${of}.pem`
  return {
    name,
    aliases: [],
    perUser: 'never',
    reload: () => restart,
    recipe: (setup) => ({
      files: [
        {
          path: `${directory}/registries.yaml`,
          merges: true,
          content: (present) => merged(present ?? mark(name), setup, placeOf),
        },
        ...certificateFiles(setup.endpoint, placeOf),
      ],
      run: [],
      notes: [
        ...(setup.fallsBack
          ? []
          : ['It keeps from falling back where it is started with --disable-default-registry-endpoint.']),
        ...(setup.needsLogin
          ? [
              `A login is needed, in registries.yaml:\nconfigs:\n  "${setup.endpoint.host}":\n    auth: { username: …, password: … }`,
            ]
          : []),
      ],
    }),
  }
}

const tlsKeys = { ca: 'ca_file', certificate: 'cert_file', key: 'key_file' } as const

type PlaceOf = (of: keyof typeof tlsKeys) => string

/** Puts ours in front of the endpoints that are there. Comments stay. */
function merged(present: string, { endpoint, mirrors }: Setup, placeOf: PlaceOf): string {
  const document = parseDocument(present)
  const [fault] = [...document.errors, ...document.warnings]
  if (fault) throw new Error(`is not YAML (${fault.code.toLowerCase().replaceAll('_', ' ')})`)
  if (isEmpty(document.contents)) document.contents = document.createNode({}) as never
  for (const mirror of mirrors) addEndpoint(document, mirror.registry, endpointOf(mirror, endpoint))
  if (endpoint.isPlain && !endpoint.isLoopback) addEndpoint(document, endpoint.host, endpoint.url)
  const { ca, identity } = endpoint
  const tls = [...(ca ? (['ca'] as const) : []), ...(identity ? (['certificate', 'key'] as const) : [])]
  for (const of of tls) mapAt(document, ['configs', endpoint.host, 'tls']).set(tlsKeys[of], placeOf(of))
  return document.toString({ lineWidth: 0, flowCollectionPadding: false })
}

/** A path that is not `/v2` is taken as it stands. */
const endpointOf = ({ byNamespace, prefix }: Mirror, { url }: Endpoint): string =>
  byNamespace ? url : `${url}/v2/${prefix}`

function addEndpoint(document: Document, registry: string, url: string): void {
  const mirror = mapAt(document, ['mirrors', registry])
  if (mirror.has('rewrite')) throw new Error(`has a rewrite for ${registry}, which would go for ours too`)
  const endpoints: unknown = mirror.get('endpoint', true)
  if (isEmpty(endpoints)) {
    mirror.set('endpoint', document.createNode([url], { flow: true }))
  } else if (isSeq(endpoints)) {
    endpoints.items = endpoints.items.filter((item) => !(isScalar(item) && item.value === url))
    endpoints.items.unshift(document.createNode(url))
  } else {
    throw new Error(`has an endpoint of ${registry} that is no list`)
  }
}

/** The map at a path, made where there is nothing. */
function mapAt(document: Document, path: string[]): YAMLMap {
  let map: unknown = document.contents
  for (const [index, key] of path.entries()) {
    if (!isMap(map)) throw new Error(`has ${path.slice(0, index).join('.') || 'contents'} that are no map`)
    const found: unknown = map.get(key, true)
    const next: unknown = isEmpty(found) ? new YAMLMap(document.schema) : found
    if (next !== found) map.set(key, next)
    map = next
  }
  if (!isMap(map)) throw new Error(`has ${path.join('.')} that is no map`)
  return map as YAMLMap
}

const isEmpty = (node: unknown): boolean =>
  node === undefined || node === null || (isScalar(node) && (node.value === null || node.value === undefined))
