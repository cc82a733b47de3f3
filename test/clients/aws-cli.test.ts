import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AwsCli } from '../support/aws-cli.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { firstKey } from '../support/ecr.ts'
import { makeImage, sha256 } from '../support/images.ts'
import { run } from '../support/process.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry, type TestRegistry } from '../support/registry.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

const image = makeImage({ seed: 'aws-cli', layers: 2 })
const secretName = 'ecr-pullthroughcache/hub'

withTools(
  'aws',
  'skopeo',
  'podman',
  ...registryTools,
)('the walkthrough with the AWS CLI', () => {
  const resources = new AsyncDisposableStack()
  let registry: TestRegistry
  let cistern: CisternProcess
  let aws: AwsCli
  let password: string

  beforeAll(async () => {
    registry = resources.use(await startRegistry('htpasswd'))
    await push(registry, 'library/app', 'v1', image)
    cistern = resources.use(
      await startCistern({ rules: [], config: { auth: { mode: 'required' }, allowPrivateUpstreams: true } }),
    )
    aws = await AwsCli.open(cistern, await firstKey(cistern))
  })
  afterAll(async () => {
    await resources.disposeAsync()
    expect(cistern.logs.join('\n')).not.toContain('canary')
  })

  /** Copies into a directory; resolves to the digest of the manifest as it lies there. */
  async function copy(name: string): Promise<string> {
    const target = join(cistern.directory, 'copied')
    const source = ['--src-tls-verify=false', '--src-authfile', join(cistern.directory, 'skopeo.json')]
    const args = ['--insecure-policy', 'copy', '--quiet', ...source, `docker://${cistern.host}/${name}`]
    await run(requireTool('skopeo'), [...args, `dir:${target}`])
    return sha256(await readFile(join(target, 'manifest.json')))
  }

  /** Logs in as scripts do. */
  async function logIn(client: 'skopeo' | 'podman'): Promise<void> {
    const options = ['--tls-verify=false', '--authfile', join(cistern.directory, `${client}.json`)]
    const args = ['login', ...options, '--username', 'AWS', '--password-stdin', cistern.host]
    expect((await run(requireTool(client), args, { input: password })).stdout).toContain('Login Succeeded')
  }

  it('begins with who one is', async () => {
    expect(await aws.json('sts', 'get-caller-identity')).toMatchObject({
      Arn: 'arn:aws:iam::000000000000:user/admin',
      Account: '000000000000',
    })
  })

  it('makes a rule with a secret', async () => {
    const { username, password: accessToken } = registry.account ?? {}
    const file = join(cistern.directory, 'secret.json')
    await writeFile(file, JSON.stringify({ username, accessToken }))
    const secret = ['--name', secretName, '--secret-string', `file://${file}`]
    const { ARN } = await aws.json('secretsmanager', 'create-secret', ...secret)
    const members = { ecrRepositoryPrefix: 'docker.io', upstreamRegistryUrl: registry.proxy.url, credentialArn: ARN }

    const input = ['--cli-input-json', JSON.stringify(members)]
    const made = await aws.json('ecr', 'create-pull-through-cache-rule', ...input)

    expect(made).toMatchObject({ ...members, registryId: '000000000000', upstreamRepositoryPrefix: 'ROOT' })
    expect(Math.abs(Date.parse(String(made.createdAt)) - Date.now())).toBeLessThan(60_000)
  })

  it('takes an upstream that is written as a URL', async () => {
    const members = ['--ecr-repository-prefix', 'spare', '--upstream-registry-url', registry.proxy.url]
    const made = await aws.json('ecr', 'create-pull-through-cache-rule', ...members)
    expect(made).toMatchObject({ ecrRepositoryPrefix: 'spare', upstreamRegistryUrl: registry.proxy.url })
    expect(registry.proxy.seen).toEqual([])
  })

  it('tells the rules, page by page', async () => {
    const describe = [
      'ecr',
      'describe-pull-through-cache-rules',
      '--query',
      'pullThroughCacheRules[].ecrRepositoryPrefix',
    ]
    expect(await aws.json(...describe, '--page-size', '1')).toEqual(['docker.io', 'spare'])
    const first = await aws.json('ecr', 'describe-pull-through-cache-rules', '--max-items', '1')
    expect(first).toMatchObject({ pullThroughCacheRules: [{ ecrRepositoryPrefix: 'docker.io' }] })
    expect(await aws.json(...describe, '--starting-token', String(first.NextToken))).toEqual(['spare'])
  })

  it('validates a rule', async () => {
    const validate = ['ecr', 'validate-pull-through-cache-rule', '--ecr-repository-prefix']
    expect(await aws.json(...validate, 'docker.io')).toMatchObject({ isValid: true })
    expect(await aws.failure(...validate, 'none')).toBe(
      'An error occurred (PullThroughCacheRuleNotFoundException) when calling the ValidatePullThroughCacheRule ' +
        "operation: The pull through cache rule with Amazon ECR repository prefix 'none' does not exist in the " +
        "registry with id '000000000000'",
    )
  })

  it('gives passwords to scripts, old and new', async () => {
    password = await aws.text('ecr', 'get-login-password')
    expect(password).toMatch(/^[^:\s]{40,}$/)
    const login = await aws.text('ecr', 'get-login', '--no-include-email')
    expect(login).toMatch(/^docker login -u AWS -p [^:\s]{40,} http:\/\//)
  })

  it('logs in, and pulls from an upstream that wants the secret', async () => {
    await logIn('skopeo')
    await logIn('podman')
    expect(await copy('docker.io/library/app:v1')).toBe(image.digest)
    expect(registry.proxy.seen.length).toBeGreaterThan(0)
  })
})
