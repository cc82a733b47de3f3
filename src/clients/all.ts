import { buildkit } from './buildkit.ts'
import type { Client } from './client.ts'
import { containerd, k0s, microk8s } from './containerd.ts'
import { containers } from './containers.ts'
import { docker } from './docker.ts'
import { k3s, rke2 } from './k3s.ts'
import { kind } from './kind.ts'
import { minikube } from './minikube.ts'
import { names } from './names.ts'
import { talos } from './talos.ts'

export const clients: readonly Client[] = [
  containerd,
  docker,
  containers,
  k3s,
  rke2,
  buildkit,
  kind,
  minikube,
  microk8s,
  k0s,
  talos,
  names,
]

/** By its name, or that of a program which reads the same files. */
export const clientNamed = (name: string): Client | undefined =>
  clients.find((client) => client.name === name || client.aliases.includes(name))
