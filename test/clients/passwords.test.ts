import { mkdtempDisposable, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startCistern } from '../support/cistern.ts'
import { makeImage, sha256 } from '../support/images.ts'
import { run } from '../support/process.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

const password = 'canary: of a pässword'

/** A cache for users of a file that htpasswd made, in front of a registry with one image. */
async function start() {
  await using starting = new AsyncDisposableStack()
  const { path: directory } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-login-')))
  const users = join(directory, 'users')
  await run(requireTool('htpasswd'), ['-Bci', '-C', '5', users, 'someone'], { input: password })
  const registry = starting.use(await startRegistry())
  const image = makeImage({ seed: 'passwords', layers: 2 })
  await push(registry, 'team/app', 'v1', image)
  const config = { auth: { mode: 'required', htpasswd: { file: users } } }
  const rules = [{ prefix: 'up', upstream: registry.proxy.url }]
  const cistern = starting.use(await startCistern({ rules, config }))
  const resources = starting.move()
  const authfile = join(directory, 'auth.json')
  return {
    directory,
    image,
    cistern,
    name: `docker://${cistern.host}/up/team/app:v1`,
    authfile,
    login: (program: 'skopeo' | 'podman', input: string) => {
      const login = ['login', '--tls-verify=false', '--authfile', authfile, '--username', 'someone', '--password-stdin']
      return run(requireTool(program), [...login, cistern.host], { input })
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

withTools(
  'skopeo',
  'podman',
  'htpasswd',
  ...registryTools,
)('users of a file of passwords', () => {
  describe.each(['skopeo', 'podman'] as const)('%s', (program) => {
    it('logs in and pulls', async () => {
      await using given = await start()
      const { authfile, directory, image } = given
      await given.login(program, password)
      const target = join(directory, 'image')
      const copy = ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', '--src-authfile', authfile]
      await run(requireTool('skopeo'), [...copy, given.name, `dir:${target}`])
      expect(sha256(await readFile(join(target, 'manifest.json')))).toBe(image.digest)
      expect(given.cistern.logs.join('\n')).not.toContain('canary')
    })

    it('is told where the password is wrong', async () => {
      await using given = await start()
      await expect(given.login(program, 'wrong')).rejects.toThrow(/invalid username\/password|unauthorized/i)
    })
  })
})
