import { stringify } from 'yaml'
import { type Client, type Endpoint, mark, type Setup } from './client.ts'
import type { Mirror } from './mirrors.ts'
import { loopbackIsTheNode } from './notes.ts'

/** Documents of the machine configuration; https://www.talos.dev has them since 1.12. */
export const talos: Client = {
  name: 'talos',
  aliases: ['talosctl'],
  perUser: 'never',
  recipe: (setup) => {
    const { endpoint, needsLogin } = setup
    const all = documents(setup).map((document) => stringify(document, { lineWidth: 0 }))
    return {
      files: [],
      document: mark('talos') + all.join('---\n'),
      run: ['talosctl patch machineconfig --patch @FILE # with what stands above in FILE'],
      notes: [
        ...loopbackIsTheNode(setup, 'give --url with the address at which nodes reach the instance.'),
        ...(endpoint.identity ? ['clientIdentity of RegistryTLSConfig takes the key: { cert: …, key: … }'] : []),
        ...(needsLogin
          ? [
              `A login is needed:\n${stringify({ ...documentOf('RegistryAuthConfig', endpoint.host), username: '…', password: '…' })}`,
            ]
          : []),
      ],
    }
  },
}

const documentOf = (kind: string, name: string) => ({ apiVersion: 'v1alpha1', kind, name })

function documents({ endpoint, mirrors, fallsBack }: Setup): object[] {
  const own =
    endpoint.isPlain && !endpoint.isLoopback
      ? [{ ...documentOf('RegistryMirrorConfig', endpoint.host), endpoints: [{ url: endpoint.url }] }]
      : []
  const trust = endpoint.ca ? [{ ...documentOf('RegistryTLSConfig', endpoint.host), ca: endpoint.ca.text }] : []
  return [
    ...mirrors.map((mirror) => ({
      ...documentOf('RegistryMirrorConfig', mirror.registry),
      endpoints: [endpointOf(mirror, endpoint)],
      ...(!fallsBack && { skipFallback: true }),
    })),
    ...own,
    ...trust,
  ]
}

const endpointOf = ({ byNamespace, prefix }: Mirror, { url }: Endpoint) =>
  byNamespace ? { url } : { url: `${url}/v2/${prefix}`, overridePath: true }
