import { globSync } from 'node:fs'
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { selfSigned } from '../support/faulty-certificate.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

const deploy = join(root, 'deploy')

const checkConfig = (...args: string[]) =>
  run(process.execPath, [join(root, 'src', 'main.ts'), 'check-config', ...args], { env: { PATH: process.env.PATH } })

describe('the examples', () => {
  it.each(globSync('examples/*.yaml', { cwd: deploy }))('%s is accepted', async (example) => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-example-'))
    const file = join(directory.path, 'cistern.yaml')
    const text = await readFile(join(deploy, example), 'utf8')
    const { cert, key } = selfSigned()
    await writeFile(join(directory.path, 'tls.crt'), cert)
    await writeFile(join(directory.path, 'tls.key'), key)
    await writeFile(file, text.replaceAll('/etc/cistern/', `${directory.path}/`))

    const { stdout } = await checkConfig('--config', file)
    expect(parse(stdout)).toMatchObject({ auth: (parse(text) as { auth: object }).auth })
  })
})

type Compose = {
  services: {
    cistern: {
      build: { context: string }
      environment: Record<string, string>
      image: string
      ports: { host_ip: string; target: number }[]
      volumes: { type: string; source: string; target: string }[]
    }
  }
}

withTools('compose')('compose.yaml', () => {
  it('is read by compose, mounts what is accepted, and is reached from this machine alone', async () => {
    const { stdout } = await run(requireTool('compose'), ['compose.yaml'], { cwd: deploy })
    const { cistern } = (parse(stdout) as Compose).services

    expect(join(cistern.build.context, '/')).toBe(join(root, '/'))
    expect(cistern.image).toBe(`cistern:${manifest.version}`)
    const configured = cistern.volumes.find(({ target }) => target === cistern.environment.CISTERN_CONFIG)
    await checkConfig('--config', configured?.source ?? 'none')
    expect(new Set(cistern.ports.map(({ host_ip }) => host_ip))).toEqual(new Set(['127.0.0.1']))
    const image = await readFile(join(root, 'Dockerfile'), 'utf8')
    expect(image).toContain(`EXPOSE ${cistern.ports.map(({ target }) => target).join(' ')}\n`)
    const data = cistern.volumes.find(({ type }) => type === 'volume')
    expect(image).toContain(`VOLUME ${data?.target}\n`)
  })
})

withTools('systemd-analyze')('cistern.service', () => {
  const read = () => readFile(join(deploy, 'cistern.service'), 'utf8')
  const analyze = (...args: string[]) => run(requireTool('systemd-analyze'), ['--no-pager', ...args])

  it('is read by systemd, and leaves little to break out by', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-unit-'))
    const unit = join(directory.path, 'cistern.service')
    await writeFile(unit, (await read()).replaceAll('/opt/cistern', root))

    const { stdout, stderr } = await analyze('verify', unit)
    expect((stdout + stderr).split('\n').filter((line) => line.includes('cistern.service'))).toEqual([])
    await analyze('security', '--offline=true', '--threshold=15', unit) // tenths; Debian's own services have 60 to 95
  })

  it('starts what npm start does, without npm', async () => {
    const [, command = ''] = /^ExecStart=\S+\/node (.*)$/m.exec(await read()) ?? []
    expect(manifest.scripts.start).toBe(`exec node ${command}`)
  })
})
