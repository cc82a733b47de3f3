import { expect, it } from 'vitest'
import { makeImage } from './images.ts'
import { push } from './push.ts'
import { type Authentication, registryTools, startRegistry } from './registry.ts'
import { withTools } from './with-tools.ts'

withTools(...registryTools)('the upstream of the client suites', () => {
  const challenges: [Authentication, RegExp][] = [
    ['htpasswd', /^Basic /],
    ['token', /^Bearer realm="http:\/\/127/],
  ]

  it.each(challenges)('with %s lets in only who is known', async (authentication, challenge) => {
    await using registry = await startRegistry(authentication)
    const image = makeImage({ seed: authentication, layers: 1 })
    await push(registry, 'private/image', 'v1', image)
    const url = `${registry.proxy.url}/v2/private/image/manifests/${image.digest}`

    const stranger = await fetch(url)
    const authorization = registry.authorization('private/image') ?? ''
    const known = await fetch(url, { headers: { authorization, accept: image.mediaType } })

    expect(stranger.status).toBe(401)
    expect(stranger.headers.get('www-authenticate')).toMatch(challenge)
    expect(Buffer.from(await known.arrayBuffer())).toEqual(image.bytes)
    expect(registry.proxy.count('GET', /manifests/)).toBe(2)
  })

  it('refuses connections while it is switched off, and serves again at the same address', async () => {
    await using registry = await startRegistry()
    const ping = () => fetch(`${registry.proxy.url}/v2/`).then(({ status }) => status)
    await registry.proxy.switchOff()

    await expect(ping()).rejects.toThrow('fetch failed')
    await registry.proxy.switchOn()

    expect(await ping()).toBe(200)
  })
})
