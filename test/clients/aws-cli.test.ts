import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AwsCli } from '../support/aws-cli.ts'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { firstKey } from '../support/ecr.ts'
import { fetchDigest } from '../support/http.ts'
import { makeImage, sha256 } from '../support/images.ts'
import { run } from '../support/process.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry, type TestRegistry } from '../support/registry.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

const tools = ['aws', 'skopeo', 'podman', ...registryTools] as const
const config = { auth: { mode: 'required' }, allowPrivateUpstreams: true }

const image = makeImage({ seed: 'aws-cli', layers: 2 })
const newer = makeImage({ seed: 'aws-cli-newer', layers: 1 })
const registryId = '000000000000'
const secretName = 'ecr-pullthroughcache/hub'
const repositoryName = 'docker.io/library/app'
const inRepository = ['--repository-name', repositoryName]
const anInstant = expect.stringMatching(/^20\d\d-\d\d-\d\dT/)

const denyingVisitor = {
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Deny',
      Principal: { AWS: `arn:aws:iam::${registryId}:user/visitor` },
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
    },
  ],
}
const keepingOne = {
  rules: [
    {
      rulePriority: 1,
      selection: { tagStatus: 'any', countType: 'imageCountMoreThan', countNumber: 1 },
      action: { type: 'expire' },
    },
  ],
}

withTools(...tools)('the walkthrough with the AWS CLI', () => {
  const resources = new AsyncDisposableStack()
  let registry: TestRegistry
  let cistern: CisternProcess
  let admin: AwsCli
  let visitor: AwsCli

  beforeAll(async () => {
    registry = resources.use(await startRegistry('htpasswd'))
    await push(registry, 'library/app', 'v1', image)
    await push(registry, 'library/app', 'v2', newer)
    cistern = resources.use(await startCistern({ rules: [], config }))
    admin = await AwsCli.open(cistern, await firstKey(cistern))
  })
  afterAll(async () => {
    await resources.disposeAsync()
    expect(cistern.logs.join('\n')).not.toContain('canary')
  })

  /** Logs in as scripts do. */
  async function logIn(client: 'skopeo' | 'podman', aws: AwsCli, login: string): Promise<void> {
    const options = ['--tls-verify=false', '--authfile', join(cistern.directory, login)]
    const args = ['login', ...options, '--username', 'AWS', '--password-stdin', cistern.host]
    const password = await aws.text('ecr', 'get-login-password')
    expect((await run(requireTool(client), args, { input: password })).stdout).toContain('Login Succeeded')
  }

  /** Copies into a directory with a login; resolves to the digest of the manifest as it lies there. */
  async function copy(tag: string, login: string): Promise<string> {
    const target = join(cistern.directory, 'copied')
    const options = ['--quiet', '--src-tls-verify=false', '--src-authfile', join(cistern.directory, login)]
    const source = `docker://${cistern.host}/${repositoryName}:${tag}`
    await run(requireTool('skopeo'), ['--insecure-policy', 'copy', ...options, source, `dir:${target}`])
    return sha256(await readFile(join(target, 'manifest.json')))
  }

  it('begins with who one is', async () => {
    expect(await admin.json('sts', 'get-caller-identity')).toMatchObject({
      Arn: `arn:aws:iam::${registryId}:user/admin`,
      Account: registryId,
    })
  })

  it('makes a rule with a secret', async () => {
    const { username, password: accessToken } = registry.account ?? {}
    const file = join(cistern.directory, 'secret.json')
    await writeFile(file, JSON.stringify({ username, accessToken }))
    const secret = ['--name', secretName, '--secret-string', `file://${file}`]
    const { ARN } = await admin.json('secretsmanager', 'create-secret', ...secret)
    const members = { ecrRepositoryPrefix: 'docker.io', upstreamRegistryUrl: registry.proxy.url, credentialArn: ARN }

    const input = ['--cli-input-json', JSON.stringify(members)]
    const made = await admin.json('ecr', 'create-pull-through-cache-rule', ...input)

    expect(made).toMatchObject({ ...members, registryId, upstreamRepositoryPrefix: 'ROOT', createdAt: anInstant })
    expect(Math.abs(Date.parse(String(made.createdAt)) - Date.now())).toBeLessThan(60_000)
  })

  it('takes an upstream that is written as a URL', async () => {
    const members = ['--ecr-repository-prefix', 'spare', '--upstream-registry-url', registry.proxy.url]
    const made = await admin.json('ecr', 'create-pull-through-cache-rule', ...members)
    expect(made).toMatchObject({ ecrRepositoryPrefix: 'spare', upstreamRegistryUrl: registry.proxy.url })
    expect(registry.proxy.seen).toEqual([])
  })

  it('tells the rules, page by page', async () => {
    const describe = ['ecr', 'describe-pull-through-cache-rules']
    const prefixes = ['--query', 'pullThroughCacheRules[].ecrRepositoryPrefix']
    expect(await admin.json(...describe, ...prefixes, '--page-size', '1')).toEqual(['docker.io', 'spare'])
    const first = await admin.json(...describe, '--max-items', '1')
    expect(first).toMatchObject({ pullThroughCacheRules: [{ ecrRepositoryPrefix: 'docker.io' }] })
    const next = ['--starting-token', String(first.NextToken)]
    expect(await admin.json(...describe, ...prefixes, ...next)).toEqual(['spare'])
  })

  it('validates a rule, and says as AWS does that one is not there', async () => {
    const validate = ['ecr', 'validate-pull-through-cache-rule', '--ecr-repository-prefix']
    expect(await admin.json(...validate, 'docker.io')).toMatchObject({ isValid: true })
    expect(await admin.failure(...validate, 'none')).toBe(
      'An error occurred (PullThroughCacheRuleNotFoundException) when calling the ValidatePullThroughCacheRule ' +
        "operation: The pull through cache rule with Amazon ECR repository prefix 'none' does not exist in the " +
        `registry with id '${registryId}'`,
    )
  })

  it('logs in, by the command of today and the one of old scripts', async () => {
    await logIn('skopeo', admin, 'admin')
    await logIn('podman', admin, 'podman')
    const login = await admin.text('ecr', 'get-login', '--no-include-email')
    expect(login).toMatch(/^docker login -u AWS -p [^:\s]{40,} http:\/\//)
  })

  it('pulls from an upstream that wants the secret', async () => {
    expect(await copy('v1', 'admin')).toBe(image.digest)
    expect(registry.proxy.seen.length).toBeGreaterThan(0)
  })

  it('shows the repository, and its image', async () => {
    const repositoryArn = `arn:aws:ecr:us-east-1:${registryId}:repository/${repositoryName}`
    const named = ['--repository-names', repositoryName]
    expect(await admin.json('ecr', 'describe-repositories', ...named)).toMatchObject({
      repositories: [{ repositoryName, repositoryArn, registryId, createdAt: anInstant }],
    })
    expect(await admin.json('ecr', 'list-images', ...inRepository)).toEqual({
      imageIds: [{ imageDigest: image.digest, imageTag: 'v1' }],
    })
    const shown = { imageDigest: image.digest, imageTags: ['v1'], imageManifestMediaType: image.mediaType }
    expect(await admin.json('ecr', 'describe-images', ...inRepository)).toMatchObject({
      imageDetails: [{ ...shown, imageSizeInBytes: expect.any(Number), imagePushedAt: anInstant }],
    })
    expect(await admin.failure('ecr', 'list-images', '--repository-name', 'none')).toBe(
      'An error occurred (RepositoryNotFoundException) when calling the ListImages operation: ' +
        `The repository with name 'none' does not exist in the registry with id '${registryId}'`,
    )
  })

  it('gives manifests byte for byte, and pulls those that are not there yet', async () => {
    const ids = ['--image-ids', 'imageTag=v1', 'imageTag=v2', 'imageTag=none']
    const { images, failures } = await admin.json('ecr', 'batch-get-image', ...inRepository, ...ids)
    const manifests = (images as { imageManifest: string }[]).map(({ imageManifest }) => Buffer.from(imageManifest))
    expect(manifests.map(sha256)).toEqual([image.digest, newer.digest])
    expect(failures).toMatchObject([{ imageId: { imageTag: 'none' }, failureCode: 'ImageNotFound' }])
    const paged = ['--query', 'sort(imageIds[].imageTag)', '--page-size', '1']
    expect(await admin.json('ecr', 'list-images', ...inRepository, ...paged)).toEqual(['v1', 'v2'])
  })

  it('lets a second key pull', async () => {
    const policy = ['--policy', 'AmazonEC2ContainerRegistryPullOnly']
    const made = await command(cistern, 'keys', 'create', '--user', 'visitor', ...policy, '--json')
    const { id: accessKeyId, secret: secretAccessKey } = JSON.parse(made.stdout)
    visitor = await AwsCli.open(cistern, { accessKeyId, secretAccessKey })
    await logIn('skopeo', visitor, 'visitor')
    expect(await copy('v1', 'visitor')).toBe(image.digest)
  })

  it('keeps over a restart what was made', async () => {
    const denying = ['--policy-text', JSON.stringify(denyingVisitor)]
    await admin.text('ecr', 'set-repository-policy', ...inRepository, ...denying)
    const keeping = ['--lifecycle-policy-text', JSON.stringify(keepingOne)]
    await admin.text('ecr', 'put-lifecycle-policy', ...inRepository, ...keeping)

    await cistern.restart()

    await logIn('skopeo', admin, 'admin')
    await logIn('skopeo', visitor, 'visitor')
    expect(await copy('v1', 'admin')).toBe(image.digest)
    const prefix = ['--ecr-repository-prefix', 'docker.io']
    expect(await admin.json('ecr', 'validate-pull-through-cache-rule', ...prefix)).toMatchObject({ isValid: true })
    const secret = await admin.json('secretsmanager', 'get-secret-value', '--secret-id', secretName)
    expect(secret.SecretString).toContain(registry.account?.password)
  })

  it('refuses whom the policy of the repository denies', async () => {
    await expect(copy('v1', 'visitor')).rejects.toThrow(/denied/)
    const login = Buffer.from(`AWS:${await visitor.text('ecr', 'get-login-password')}`).toString('base64')
    const url = `${cistern.url}/v2/${repositoryName}/manifests/v1`
    expect((await fetchDigest(url, { authorization: `Basic ${login}` })).status).toBe(403)
    const id = ['--image-ids', 'imageTag=v1']
    expect(await visitor.failure('ecr', 'batch-get-image', ...inRepository, ...id)).toMatch(
      /^An error occurred \(AccessDeniedException\) .*user\/visitor is not authorized .*explicit deny/,
    )
    const { policyText } = await admin.json('ecr', 'get-repository-policy', ...inRepository)
    expect(JSON.parse(String(policyText))).toEqual(denyingVisitor)
  })

  it('says what a lifecycle policy would let go', async () => {
    await admin.text('ecr', 'start-lifecycle-policy-preview', ...inRepository)
    await admin.text('ecr', 'wait', 'lifecycle-policy-preview-complete', ...inRepository)
    expect(await admin.json('ecr', 'get-lifecycle-policy-preview', ...inRepository)).toMatchObject({
      status: 'COMPLETE',
      previewResults: [{ imageTags: [expect.stringMatching(/^v[12]$/)], action: { type: 'EXPIRE' } }],
      summary: { expiringImageTotalCount: 1 },
    })
  })

  it('deletes an image', async () => {
    const ids = ['--image-ids', 'imageTag=v2']
    expect(await admin.json('ecr', 'batch-delete-image', ...inRepository, ...ids)).toEqual({
      imageIds: [{ imageDigest: newer.digest, imageTag: 'v2' }],
      failures: [],
    })
  })

  it('serves what is cached once the rule is gone', async () => {
    await admin.text('ecr', 'delete-pull-through-cache-rule', '--ecr-repository-prefix', 'docker.io')
    registry.proxy.forget()
    expect(await copy('v1', 'admin')).toBe(image.digest)
    await expect(copy('v2', 'admin')).rejects.toThrow(/unknown|not found/)
    expect(registry.proxy.seen).toEqual([])
  })
})
