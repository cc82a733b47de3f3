import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../support/process.ts'
import { builtTools, requireTool } from '../support/tools.ts'

/** Builds the suite and the registry it runs against, at the versions that `modules/go.sum` vouches for. */
export async function buildConformance(): Promise<void> {
  await mkdir(dirname(builtTools.conformance), { recursive: true })
  const options = { cwd: join(import.meta.dirname, 'modules'), timeoutMs: 600_000 }
  const go = (...args: string[]) => run(requireTool('go'), args, options)
  await go('build', '-o', builtTools.olareg, 'github.com/olareg/olareg/cmd/olareg')
  await go('test', '-c', '-o', builtTools.conformance, 'github.com/opencontainers/distribution-spec/conformance')
}

if (import.meta.main) await buildConformance()
