import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../support/process.ts'
import { builtTools, requireTool } from '../support/tools.ts'

/** Builds helm and the reader of compose files, at the versions that `modules/go.sum` vouches for. */
export async function buildDeployTools(): Promise<void> {
  await mkdir(dirname(builtTools.helm), { recursive: true })
  const options = { cwd: join(import.meta.dirname, 'modules'), timeoutMs: 900_000 }
  const build = (tool: string, program: string) =>
    run(requireTool('go'), ['build', '-ldflags=-s -w', '-o', tool, program], options)
  await build(builtTools.compose, 'github.com/compose-spec/compose-go/v2/cmd')
  await build(builtTools.helm, 'helm.sh/helm/v3/cmd/helm')
}

if (import.meta.main) await buildDeployTools()
