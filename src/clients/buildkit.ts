import { parse } from 'smol-toml'
import { certificateFiles } from './certificates.ts'
import { type Client, mark, nameHere, quoted, type Setup } from './client.ts'
import { needsClientLogin } from './notes.ts'

/** https://github.com/moby/buildkit/blob/master/docs/buildkitd.toml.md */
export const buildkit: Client = {
  name: 'buildkit',
  aliases: ['buildkitd', 'buildx'],
  perUser: 'possibly',
  reload: (ofUser) => (ofUser ? 'systemctl --user restart buildkit' : 'systemctl restart buildkit'),
  recipe: (setup) => {
    const directory = setup.user ? `${setup.user.config}/buildkit` : '/etc/buildkit'
    const placeOf: PlaceOf = (of) => `${directory}/cistern-${of}.pem`
    const file = `${directory}/buildkitd.toml`
    return {
      files: [
        { path: file, merges: true, content: (present) => merged(present, setup, placeOf) },
        ...certificateFiles(setup.endpoint, placeOf),
      ],
      run: [],
      notes: [
        `A builder in a container takes the file when it is made: docker buildx create --use --buildkitd-config ${file}`,
        ...(setup.fallsBack ? [] : ['It falls back to the registries all the same.']),
        ...needsClientLogin(setup, 'where builds are started, docker login'),
      ],
    }
  },
}

type PlaceOf = (of: 'ca' | 'certificate' | 'key') => string

/** Tables stand behind what is there, where nobody else has them. */
function merged(present: string | undefined, setup: Setup, placeOf: PlaceOf): string {
  const tables = mark('buildkit') + tablesOf(setup, placeOf)
  if (present === undefined || present.trim() === '') return tables
  const { registry = {} } = parsed(present, 'is not TOML')
  const taken = [...setup.mirrors.map((mirror) => mirror.registry), setup.endpoint.host].find((name) =>
    Object.hasOwn(Object(registry), name),
  )
  if (taken !== undefined) throw new Error(`has a table for ${taken} already`)
  const whole = `${present.trimEnd()}\n\n${tables}`
  parsed(whole, 'takes no further tables')
  return whole
}

function parsed(text: string, fault: string): { registry?: unknown } {
  try {
    return parse(text)
  } catch (cause) {
    throw new Error(fault, { cause })
  }
}

function tablesOf(setup: Setup, placeOf: PlaceOf): string {
  const { endpoint, mirrors } = setup
  const { host, ca, identity, isPlain } = endpoint
  const all = mirrors.map((mirror) => [
    `[registry.${quoted(mirror.registry)}]`,
    `  mirrors = [${quoted(nameHere(endpoint, mirror))}]`,
    ...(mirror.server.startsWith('http:') ? ['  http = true'] : []),
  ])
  if (isPlain) all.push([`[registry.${quoted(host)}]`, '  http = true'])
  if (ca || identity) all.push([`[registry.${quoted(host)}]`, ...(ca ? [`  ca = [${quoted(placeOf('ca'))}]`] : [])])
  if (identity) {
    const pair = [`  cert = ${quoted(placeOf('certificate'))}`, `  key = ${quoted(placeOf('key'))}`]
    all.push([`[[registry.${quoted(host)}.keypair]]`, ...pair])
  }
  return all.map((lines) => `${lines.join('\n')}\n`).join('\n')
}
