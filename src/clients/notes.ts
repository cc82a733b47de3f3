import { quoted, type Setup } from './client.ts'

/** How containerd logs in: what pods and `ctr --user` bring along is meant for the registry itself, and goes there too. */
export function headerLogin({ needsLogin, endpoint }: Setup): string[] {
  if (!needsLogin) return []
  const table = `[host.${quoted(endpoint.url)}.header]\n  Authorization = "Basic …"`
  return [
    `A login is needed. It stands at the end of each hosts.toml, which is nobody else's to read then; … is what printf USER:PASSWORD | base64 prints:\n${table}`,
  ]
}

export const loopbackIsTheNode = ({ endpoint }: Setup, how: string): string[] =>
  endpoint.isLoopback ? [`${endpoint.host} is the node itself there: ${how}`] : []

export const needsClientLogin = ({ needsLogin, endpoint }: Setup, command: string): string[] =>
  needsLogin ? [`A login is needed: ${command} ${endpoint.host}`] : []
