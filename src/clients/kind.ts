import { stringify } from 'yaml'
import { type Client, mark, ownFile } from './client.ts'
import { hostsDirectory } from './hosts-toml.ts'
import { headerLogin, loopbackIsTheNode } from './notes.ts'

/** Nodes are containers: they get a directory of this machine. The node images of kind 0.27 and later read it there. */
export const kind: Client = {
  name: 'kind',
  aliases: [],
  perUser: 'possibly',
  recipe: (setup) => {
    const directory = setup.user ? `${setup.user.config}/cistern/kind` : '/etc/cistern/kind'
    const mounts = [{ hostPath: `${directory}/certs.d`, containerPath: nodeDirectory, readOnly: true }]
    const cluster = {
      kind: 'Cluster',
      apiVersion: 'kind.x-k8s.io/v1alpha4',
      nodes: [{ role: 'control-plane', extraMounts: mounts }],
    }
    return {
      files: [
        ownFile(`${directory}/cluster.yaml`, mark('kind') + stringify(cluster)),
        ...hostsDirectory('kind', `${directory}/certs.d`, setup),
      ],
      run: [`kind create cluster --config ${directory}/cluster.yaml`],
      notes: [
        `The nodes of a cluster that runs take a copy:
for node in $(kind get nodes); do docker exec "$node" mkdir -p ${nodeDirectory} && docker cp ${directory}/certs.d/. "$node:${nodeDirectory}"; done`,
        ...loopbackIsTheNode(setup, 'give --url with the gateway that docker network inspect kind shows.'),
        ...headerLogin(setup),
      ],
    }
  },
}

const nodeDirectory = '/etc/containerd/certs.d'
