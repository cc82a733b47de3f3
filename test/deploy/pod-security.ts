type SecurityContext = {
  runAsNonRoot?: boolean
  runAsUser?: number
  privileged?: boolean
  allowPrivilegeEscalation?: boolean
  capabilities?: { add?: string[]; drop?: string[] }
  seccompProfile?: { type: string }
}

type Container = { name: string; securityContext?: SecurityContext; ports?: { hostPort?: number }[] }

export type PodSpec = {
  hostNetwork?: boolean
  hostPID?: boolean
  hostIPC?: boolean
  securityContext?: SecurityContext
  initContainers?: Container[]
  containers: Container[]
  volumes?: ({ name: string } & Record<string, unknown>)[]
}

const volumeKinds = ['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'persistentVolumeClaim', 'projected']
const allowedKinds = new Set([...volumeKinds, 'secret'])

/**
 * What keeps a pod out of a namespace of the level restricted.
 *
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
 */
export function restrictedFaults(pod: PodSpec): string[] {
  const { hostNetwork, hostPID, hostIPC, volumes = [], initContainers = [], containers } = pod
  const shared = Object.entries({ hostNetwork, hostPID, hostIPC }).filter(([, used]) => used)
  const foreign = volumes.flatMap(({ name, ...source }) =>
    Object.keys(source)
      .filter((kind) => !allowedKinds.has(kind))
      .map((kind) => `volume ${name} is a ${kind}`),
  )
  const inside = [...initContainers, ...containers].flatMap((container) =>
    containerFaults(container, pod.securityContext).map((fault) => `${container.name}: ${fault}`),
  )
  return [...shared.map(([name]) => `uses ${name}`), ...foreign, ...inside]
}

function containerFaults({ securityContext, ports = [] }: Container, ofPod: SecurityContext = {}): string[] {
  const { runAsNonRoot, runAsUser, privileged, allowPrivilegeEscalation, capabilities, seccompProfile } = {
    ...ofPod,
    ...securityContext,
  }
  const added = (capabilities?.add ?? []).filter((name) => name !== 'NET_BIND_SERVICE')
  const faults: [boolean, string][] = [
    [privileged === true, 'is privileged'],
    [allowPrivilegeEscalation !== false, 'may gain privileges'],
    [runAsNonRoot !== true || runAsUser === 0, 'runs as root'],
    [!capabilities?.drop?.includes('ALL'), 'keeps capabilities'],
    [added.length > 0, `adds ${added.join()}`],
    [!['RuntimeDefault', 'Localhost'].includes(seccompProfile?.type ?? ''), 'has no seccomp profile'],
    [ports.some(({ hostPort }) => hostPort !== undefined), 'has a hostPort'],
  ]
  return faults.filter(([found]) => found).map(([, fault]) => fault)
}
