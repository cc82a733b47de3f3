import { certificateFiles, certificateNames } from './certificates.ts'
import { type Client, type ClientFile, mark, nameHere, ownFile, quoted, type Setup } from './client.ts'
import type { Mirror } from './mirrors.ts'
import { needsClientLogin } from './notes.ts'

/**
 * What pulls by containers/image. Of one user it is all below the home, whatever `$XDG_CONFIG_HOME` says.
 *
 * https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md
 */
export const containers: Client = {
  name: 'podman',
  aliases: ['buildah', 'skopeo', 'crio', 'cri-o'],
  perUser: 'possibly',
  recipe: (setup) => {
    const directory = setup.user ? `${setup.user.home}/.config/containers` : '/etc/containers'
    return {
      files: containersFiles('podman', directory, setup),
      run: [],
      notes: [
        'podman, buildah and skopeo read this each time; CRI-O does after systemctl reload crio.',
        ...needsClientLogin(setup, 'podman login'),
      ],
    }
  },
}

/** What stands below `/etc/containers`, or another directory in its place. */
export function containersFiles(client: string, directory: string, setup: Setup): ClientFile[] {
  const { endpoint } = setup
  return [
    ownFile(`${directory}/registries.conf.d/50-cistern.conf`, mark(client) + registriesConf(setup)),
    ...certificateFiles(endpoint, (name) => `${directory}/certs.d/${endpoint.host}/${certificateNames[name]}`),
  ]
}

function registriesConf(setup: Setup): string {
  const { endpoint, mirrors } = setup
  const own = endpoint.isPlain ? [table('[[registry]]', [`location = ${quoted(endpoint.host)}`, plainHttp])] : []
  return [...mirrors.map((mirror) => registry(mirror, setup)), ...own].join('\n')
}

function registry(mirror: Mirror, { endpoint, fallsBack }: Setup): string {
  const prefix = `prefix = ${quoted(mirror.registry)}`
  const here = [`location = ${quoted(nameHere(endpoint, mirror))}`, ...(endpoint.isPlain ? [plainHttp] : [])]
  if (!fallsBack) return table('[[registry]]', [prefix, ...here])
  const there = [`location = ${quoted(mirror.registry)}`, ...(mirror.server.startsWith('http:') ? [plainHttp] : [])]
  return `${table('[[registry]]', [prefix, ...there])}\n${table('[[registry.mirror]]', here)}`
}

const plainHttp = 'insecure = true # plain HTTP'

const table = (heading: string, lines: readonly string[]): string => `${[heading, ...lines].join('\n')}\n`
