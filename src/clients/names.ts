import { type Client, nameHere } from './client.ts'
import { needsClientLogin } from './notes.ts'

/** Programs that know no mirrors, and are given another name. */
export const names: Client = {
  name: 'names',
  aliases: ['helm', 'oras', 'crane', 'cosign', 'flux', 'argocd', 'renovate', 'trivy'],
  perUser: 'never',
  recipe: (setup) => {
    const { endpoint, mirrors } = setup
    const width = Math.max(...mirrors.map(({ registry }) => registry.length)) + 2
    const rows = mirrors.map((mirror) => `${`${mirror.registry}/`.padEnd(width)} ${nameHere(endpoint, mirror)}/`)
    return {
      files: [],
      document: `${rows.join('\n')}\n`,
      run: [],
      notes: [
        'What stands on the left is put as on the right, in names of images and of charts.',
        ...(endpoint.isPlain && !endpoint.isLoopback
          ? [
              'Plain HTTP has to be asked for: helm and oras --plain-http, crane --insecure, skopeo --src-tls-verify=false.',
            ]
          : []),
        ...needsClientLogin(setup, 'helm registry login, oras login, crane auth login, each with'),
      ],
    }
  },
}
