import { expect, it } from 'vitest'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { fetchDigest } from '../support/http.ts'
import { makeImage } from '../support/images.ts'
import { Moto } from '../support/moto.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'

withTools('moto_server', ...registryTools)('a credential in AWS Secrets Manager', () => {
  it('opens an upstream, and stays out of the logs', async () => {
    await using registry = await startRegistry('htpasswd')
    await using moto = await Moto.start()
    const { username = '', password = '' } = registry.account ?? {}
    const secretArn = await moto.createSecret('ecr-pullthroughcache/up', { username, accessToken: password })
    const rules = [ruleFor(registry, { credential: { secretArn } })]
    await using cistern = await startCistern({ rules, env: moto.env })
    const image = makeImage({ seed: 'secret', layers: 1 })
    await push(registry, 'private/image', 'v1', image)

    const manifest = await fetchDigest(`${cistern.url}/v2/up.example/private/image/manifests/v1`)

    expect(manifest).toMatchObject({ status: 200, digest: image.digest })
    expect(cistern.logs.join('\n')).not.toContain('canary')
  })
})
