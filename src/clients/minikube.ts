import type { Client } from './client.ts'
import { containersFiles } from './containers.ts'
import { hostsDirectory } from './hosts-toml.ts'
import { headerLogin, loopbackIsTheNode } from './notes.ts'

/**
 * Files below `files` are copied into the node at each start, for containerd and CRI-O. With Docker in the node only
 * Docker Hub is mirrored, and that is a matter of its creation.
 *
 * https://minikube.sigs.k8s.io/docs/handbook/filesync/
 */
export const minikube: Client = {
  name: 'minikube',
  aliases: [],
  perUser: 'always',
  recipe: (setup) => {
    const node = `${setup.user?.home}/.minikube/files`
    return {
      files: [
        ...hostsDirectory('minikube', `${node}/etc/containerd/certs.d`, setup),
        ...containersFiles('minikube', `${node}/etc/containers`, setup),
      ],
      run: ['minikube start'],
      notes: [
        `With --container-runtime=docker: minikube start --registry-mirror=${setup.endpoint.url}, for Docker Hub alone, when the node is made.`,
        ...loopbackIsTheNode(setup, 'give --url with an address of this machine; host.minikube.internal leads to it.'),
        ...headerLogin(setup),
      ],
    }
  },
}
