import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../support/images.ts'
import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'

/** What a copy brought: the digest of the manifest as it lies on disk, and those of all files that came with it. */
export type Copied = { digest: string; digests: Set<string> }

export type CopyOptions = {
  all?: boolean
  /** A directory with the authority of the registry, and a certificate and key of one's own; absent, nothing is verified. */
  certificates?: string
}

/**
 * Copies an image, or with `all` everything under an index, into a directory of its own: from a registry, or from an
 * archive where its name begins with `oci-archive:`.
 */
export async function skopeoCopy(image: string, { all = false, certificates }: CopyOptions = {}): Promise<Copied> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-skopeo-'))
  const target = join(directory.path, 'image')
  const trust = certificates === undefined ? ['--src-tls-verify=false'] : ['--src-cert-dir', certificates]
  const options = ['--insecure-policy', 'copy', '--quiet', ...trust, ...(all ? ['--all'] : [])]
  await skopeo(...options, image.startsWith('oci-archive:') ? image : `docker://${image}`, `dir:${target}`)
  const names = (await readdir(target)).filter((name) => name !== 'version')
  const digests = await Promise.all(names.map(async (name) => sha256(await readFile(join(target, name)))))
  return { digest: digests[names.indexOf('manifest.json')] ?? '', digests: new Set(digests) }
}

export async function skopeoTags(repository: string): Promise<string[]> {
  const { stdout } = await skopeo('list-tags', '--tls-verify=false', `docker://${repository}`)
  return (JSON.parse(stdout) as { Tags: string[] }).Tags
}

const skopeo = (...args: string[]) => run(requireTool('skopeo'), args)
