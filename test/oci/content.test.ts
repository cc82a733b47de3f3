import { describe, expect, it } from 'vitest'
import { contentOf } from '../../src/oci/content.ts'
import { isKind } from '../../src/oci/errors.ts'

const digest = (fill: string) => `sha256:${fill.repeat(64)}`
const read = (document: unknown) => contentOf(Buffer.from(JSON.stringify(document)))

describe('what a manifest lists', () => {
  it('is its config and layers, each once, without those that registries may not hand on', () => {
    const foreign = { mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', digest: digest('f') }
    const layers = [{ digest: digest('b'), size: 5 }, { digest: digest('b'), size: 5 }, foreign]
    const { blobs, manifests } = read({ config: { digest: digest('a'), size: 3 }, layers })
    expect([blobs, manifests]).toEqual([
      [
        { digest: digest('a'), size: 3 },
        { digest: digest('b'), size: 5 },
      ],
      [],
    ])
  })

  it('is for an index its manifests, one of them for several platforms, with what is about which', () => {
    const entry = (platform: object, rest: object = {}) => ({ digest: digest('a'), platform, ...rest })
    const annotations = { 'vnd.docker.reference.digest': digest('a') }
    const { manifests } = read({
      manifests: [
        entry({ os: 'linux', architecture: 'arm', variant: 'v6' }),
        entry({ os: 'linux', architecture: 'arm', variant: 'v7' }),
        entry({ os: 'unknown', architecture: 'unknown' }, { digest: digest('b'), annotations }),
      ],
    })
    expect(manifests).toEqual([
      { digest: digest('a'), platform: 'linux/arm/v6' },
      { digest: digest('a'), platform: 'linux/arm/v7' },
      { digest: digest('b'), platform: 'unknown/unknown', about: digest('a') },
    ])
  })

  it('is nothing of what is malformed', () => {
    const platforms = [
      { os: 'linux' },
      { os: '\u001b[2J', architecture: 'amd64' },
      { os: 'x'.repeat(65), architecture: 'a' },
    ]
    const { manifests, blobs, subject } = read({
      manifests: [
        null,
        7,
        { digest: 'sha256:no' },
        ...platforms.map((platform) => ({ digest: digest('a'), platform })),
      ],
      layers: 'none',
      config: [{ digest: digest('c'), size: -1 }],
      subject: { digest: '../../etc/passwd' },
    })
    expect(manifests).toEqual([{ digest: digest('a') }])
    expect([blobs, subject]).toEqual([[{ digest: digest('c') }], undefined])
  })

  it.each(['', 'null', '[]', '"text"', '{'])('cannot be read from %j', (text) => {
    expect(() => contentOf(Buffer.from(text))).toThrow(expect.toSatisfy((error) => isKind(error, 'corrupt')))
  })
})
