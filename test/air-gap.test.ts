import { readFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type CisternProcess, ruleFor, startCistern } from './support/cistern.ts'
import { debianImageTools, pushDebianImage } from './support/debian-image.ts'
import { makeImage } from './support/images.ts'
import { root } from './support/paths.ts'
import { run } from './support/process.ts'
import { push } from './support/push.ts'
import { registryTools, startRegistry } from './support/registry.ts'
import { withTools } from './support/with-tools.ts'

type Step = { side: 'online' | 'sealed'; command: string; output: string[] }

/** Each command of the walk with what it prints, and the side that the prose in front of it names. */
function stepsOf(text: string): Step[] {
  const blocks = [...text.matchAll(/On the (online|sealed) side[^\n]*\n+```console\n([\s\S]*?)^```$/gm)]
  return blocks.flatMap(([, side, block = '']) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((step) => {
        const [command = '', ...output] = step.trimEnd().split('\n')
        return { side: side as Step['side'], command, output: sizeless(output) }
      }),
  )
}

/** Sizes are those of the images at hand. Images end in no order. */
const sizeless = (lines: readonly string[]) =>
  lines.map((line) => line.replace(/\d+(?:\.\d+)? [KMG]?i?B\b/g, '… MiB').trimEnd()).sort()

/** On a terminal, of which what is overwritten is not seen. */
async function take(
  { side, command }: Step,
  cistern: CisternProcess,
  sealed: CisternProcess,
  cwd: string,
): Promise<Step> {
  const words = command
    .replaceAll('npx cistern', `${process.execPath} ${join(root, 'src', 'main.ts')}`)
    .replaceAll('127.0.0.1:5000', sealed.host)
  const env = { ...process.env, CISTERN_CONFIG: join(cistern.directory, 'cistern.yaml') }
  const { stdout } = await run('script', ['--quiet', '--return', '--command', words, '/dev/null'], { cwd, env })
  const seen = stdout
    .replaceAll('\r\n', '\n')
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\r\u001b[2K').at(-1) ?? '')
  return { side, command, output: sizeless(stdout === '' ? [] : seen) }
}

withTools(
  'skopeo',
  'script',
  ...registryTools,
  ...debianImageTools,
)('the walk across an air gap', () => {
  it('prints what docs/air-gap.md says', async () => {
    await using registry = await startRegistry()
    const rules = [ruleFor(registry, { prefix: 'docker.io', dialect: 'docker-hub' })]
    await using online = await startCistern({ rules })
    await using sealed = await startCistern({ rules, config: { offline: true } })
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-walk-'))
    await pushDebianImage(registry, 'library/busybox', '1.37')
    await push(registry, 'library/alpine', '3.22', makeImage({ seed: 'alpine', layerSize: 1_500_000 }))

    const steps = stepsOf(readFileSync(join(root, 'docs', 'air-gap.md'), 'utf8'))
    expect(steps.filter(({ side }) => side === 'sealed').length).toBeGreaterThan(3)
    for (const step of steps) {
      const cistern = step.side === 'online' ? online : sealed
      expect(await take(step, cistern, sealed, directory.path)).toEqual(step)
    }
  }, 60_000)
})
