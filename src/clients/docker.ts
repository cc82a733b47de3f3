import { type Client, type ClientFile, nameHere } from './client.ts'
import { hostsDirectory } from './hosts-toml.ts'

/**
 * Images are kept by containerd, as on installations since Docker 29, or by Docker itself. Each way reads one of the two
 * places and leaves the other alone.
 */
export const docker: Client = {
  name: 'docker',
  aliases: [],
  perUser: 'possibly',
  reload: (ofUser) => (ofUser ? 'systemctl --user reload docker' : 'systemctl reload docker'),
  recipe: (setup) => {
    const { endpoint, mirrors, user, needsLogin } = setup
    const directory = user ? `${user.config}/docker` : '/etc/docker'
    const hub = mirrors.find(({ registry }) => registry === 'docker.io')
    const mirrorsHub = hub !== undefined && setup.servesHubByDefault
    const settings = {
      ...(mirrorsHub && { 'registry-mirrors': [endpoint.url] }),
      ...(endpoint.isPlain && { 'insecure-registries': [endpoint.host] }),
    }
    const example = hub ? `${nameHere(endpoint, hub)}/library/nginx` : `${endpoint.host}/…`
    return {
      files: [
        ...(Object.keys(settings).length > 0 ? [daemonJson(`${directory}/daemon.json`, settings)] : []),
        ...hostsDirectory('docker', `${directory}/certs.d`, setup),
      ],
      run: [],
      notes: [
        'Where containerd keeps the images, as on new installations since Docker 29, certs.d is read: docker info shows the driver-type io.containerd.snapshotter.v1 then.',
        mirrorsHub
          ? 'Where not, registry-mirrors is: it works for Docker Hub alone.'
          : 'Where not, nothing is mirrored: names without a registry do not lead to Docker Hub here, which registry-mirrors needs.',
        ...(needsLogin
          ? [
              `A login is needed, and Docker has none for mirrors: it goes to the registry itself then. Name images by the instance after docker login ${endpoint.host}: docker pull ${example}`,
            ]
          : []),
      ],
    }
  },
}

function daemonJson(path: string, settings: Record<string, string[]>): ClientFile {
  return { path, merges: true, content: (present) => merged(present, settings) }
}

/** Ours come first: Docker asks mirrors in their order. */
function merged(present: string | undefined, settings: Record<string, string[]>): string {
  const before = objectIn(present)
  const lists = Object.entries(settings).map(([key, ours]) => {
    const theirs = before[key] ?? []
    if (!Array.isArray(theirs)) throw new Error(`${key} is no list`)
    return [key, [...ours, ...theirs.filter((entry) => !ours.includes(entry))]] as const
  })
  const indent = /^[ \t]+(?=\S)/m.exec(present ?? '')?.[0] ?? '  '
  return `${JSON.stringify({ ...before, ...Object.fromEntries(lists) }, null, indent)}\n`
}

function objectIn(text: string | undefined): Record<string, unknown> {
  if (text === undefined || text.trim() === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Error('is not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('is no JSON object')
  return value as Record<string, unknown>
}
