import type { ClientFile, Endpoint, SourceFile } from './client.ts'

/** Names that Docker gave to the files of a registry's directory, and that others took over. */
export const certificateNames = { ca: 'ca.crt', certificate: 'client.cert', key: 'client.key' } as const

/** Copies of what it takes to trust an instance and to be trusted by it. `placeOf` says where each of them is to be. */
export function certificateFiles(
  { ca, identity }: Endpoint,
  placeOf: (name: keyof typeof certificateNames) => string,
): ClientFile[] {
  return [
    ...(ca ? [copy(placeOf('ca'), ca)] : []),
    ...(identity ? [copy(placeOf('certificate'), identity.certificate)] : []),
    ...(identity ? [{ ...copy(placeOf('key'), identity.key), isSecret: true as const }] : []),
  ]
}

const copy = (path: string, { path: copyOf, text }: SourceFile): ClientFile => ({ path, content: () => text, copyOf })
