import type { Client, Setup } from './client.ts'
import { hostsDirectory } from './hosts-toml.ts'
import { headerLogin } from './notes.ts'

/** containerd, and nerdctl on top of it. */
export const containerd: Client = {
  name: 'containerd',
  aliases: ['ctr', 'nerdctl'],
  perUser: 'possibly',
  recipe: (setup) => {
    const directory = setup.user ? `${setup.user.config}/containerd/certs.d` : '/etc/containerd/certs.d'
    const configPath = `For Kubernetes config_path in /etc/containerd/config.toml has to name the directory, as it does by default since containerd 2.2. Before, with a restart of containerd:
# containerd 2
${registryTable('io.containerd.cri.v1.images', directory)}
# containerd 1
${registryTable('io.containerd.grpc.v1.cri', directory)}`
    return {
      files: hostsDirectory('containerd', directory, setup),
      run: [`ctr images pull --hosts-dir ${directory} ${exampleImage(setup)}`],
      notes: [
        'ctr is told of the directory each time; nerdctl knows it.',
        ...(setup.user ? [] : [configPath]),
        ...headerLogin(setup),
      ],
    }
  },
}

export const microk8s: Client = {
  name: 'microk8s',
  aliases: [],
  perUser: 'never',
  recipe: (setup) => ({
    files: hostsDirectory('microk8s', '/var/snap/microk8s/current/args/certs.d', setup),
    run: [],
    notes: headerLogin(setup),
  }),
}

export const k0s: Client = {
  name: 'k0s',
  aliases: [],
  perUser: 'never',
  recipe: (setup) => {
    const directory = '/etc/k0s/containerd.d/certs.d'
    return {
      files: hostsDirectory('k0s', directory, setup),
      run: [],
      notes: [
        `k0s 1.36 or later is told of the directory by /etc/k0s/containerd.d/cri-registry.toml:
version = 3
${registryTable('io.containerd.cri.v1.images', directory)}`,
        `One before 1.36, likewise:
version = 2
${registryTable('io.containerd.grpc.v1.cri', directory)}`,
        ...headerLogin(setup),
      ],
    }
  },
}

const registryTable = (plugin: string, directory: string): string =>
  `[plugins."${plugin}".registry]\n  config_path = "${directory}"`

function exampleImage({ mirrors }: Setup): string {
  const registry = mirrors[0]?.registry ?? 'docker.io'
  return registry === 'docker.io' ? 'docker.io/library/busybox:latest' : `${registry}/REPOSITORY:TAG`
}
