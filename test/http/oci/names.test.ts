import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isApiPath, parseRoute } from '../../../src/http/oci/names.ts'
import { isKind } from '../../../src/oci/errors.ts'
import { isRepository } from '../../../src/oci/reference.ts'
import { RuleBook } from '../../../src/rules/rule-book.ts'
import { hub, quay, rule } from '../../support/face.ts'

const team = rule('team', 'registry.example:8443', { upstreamRepositoryPrefix: 'mirror' })
const book = new RuleBook([hub, quay, team], 'docker.io')
const nothingCached = async () => false
const sha256 = `sha256:${'a'.repeat(64)}`

async function nameOf(target: string, rules = book, has: (repository: string) => Promise<boolean> = nothingCached) {
  const route = await parseRoute(target, rules, has)
  if (!route || !('name' in route)) throw new Error(`${target} names no repository`)
  return route.name
}

const codeOf = (target: string, rules = book) =>
  parseRoute(target, rules, nothingCached).then(
    (route) => route?.kind,
    (error) => error.code,
  )

describe('the shapes of a name', () => {
  it.each([
    ['A', '/v2/library/nginx/manifests/latest?ns=docker.io'],
    ['A, one segment', '/v2/nginx/manifests/latest?ns=docker.io'],
    ['A, by alias', '/v2/library/nginx/manifests/latest?ns=index.docker.io'],
    ['A, by upstream host', '/v2/library/nginx/manifests/latest?ns=registry-1.docker.io'],
    ['B', '/v2/docker.io/library/nginx/manifests/latest'],
    ['B with ns', '/v2/docker.io/library/nginx/manifests/latest?ns=docker.io'],
    ['B, one segment', '/v2/docker.io/nginx/manifests/latest'],
    ['B, by alias', '/v2/registry-1.docker.io/library/nginx/manifests/latest'],
    ['C', '/docker.io/v2/library/nginx/manifests/latest'],
    ['C with ns', '/index.docker.io/v2/nginx/manifests/latest?ns=docker.io'],
    ['D', '/v2/library/nginx/manifests/latest'],
    ['D, one segment', '/v2/nginx/manifests/latest'],
  ])('%s leads to one repository, however it is spelled', async (_shape, target) => {
    expect(await nameOf(target)).toMatchObject({
      rule: hub,
      repository: 'docker.io/library/nginx',
      upstreamRepository: 'library/nginx',
    })
  })

  it('keeps what the client wrote, for links', async () => {
    expect(await nameOf('/docker.io/v2/nginx/tags/list?ns=docker.io')).toMatchObject({
      written: 'nginx',
      path: '/docker.io/v2/nginx',
      namespace: 'docker.io',
    })
    expect(await nameOf('/v2/docker.io/nginx/tags/list')).toMatchObject({
      written: 'docker.io/nginx',
      path: '/v2/docker.io/nginx',
      namespace: undefined,
    })
  })

  it('strips one prefix, and echoes no namespace that another rule answers for', async () => {
    expect(await nameOf('/v2/quay.io/docker.io/app/tags/list?ns=docker.io')).toMatchObject({
      repository: 'quay.io/docker.io/app',
      namespace: undefined,
    })
  })

  it('puts the upstream prefix of a rule in front', async () => {
    expect(await nameOf('/v2/team/app/tags/list')).toMatchObject({
      repository: 'team/app',
      upstreamRepository: 'mirror/app',
    })
    expect(await nameOf('/v2/app/tags/list?ns=registry.example:8443')).toMatchObject({ rule: team })
  })

  it('reads the path from its end: repositories may hold the words of the API', async () => {
    for (const repository of ['a/manifests/b', 'manifests', 'v2/blobs', 'tags/list', 'x/v2/y', 'referrers/tags']) {
      for (const tail of ['manifests/latest', `blobs/${sha256}`, 'tags/list', `referrers/${sha256}`]) {
        const { written } = await nameOf(`/v2/quay.io/${repository}/${tail}`)
        expect(written).toBe(`quay.io/${repository}`)
      }
    }
  })
})

describe('names that lead nowhere', () => {
  it.each([
    ['an unknown ns', '/v2/library/nginx/manifests/latest?ns=evil.example'],
    ['an address', '/v2/library/nginx/manifests/latest?ns=169.254.169.254'],
    ['a path in ns', '/v2/library/nginx/manifests/latest?ns=docker.io/x'],
    ['userinfo in ns', '/v2/library/nginx/manifests/latest?ns=user@docker.io'],
    ['an encoded path in ns', '/v2/library/nginx/manifests/latest?ns=docker.io%2fx'],
    ['an empty ns', '/v2/library/nginx/manifests/latest?ns='],
    ['ns twice', '/v2/library/nginx/manifests/latest?ns=docker.io&ns=docker.io'],
    ['a host without a rule', '/v2/evil.example/nginx/manifests/latest'],
    ['no known ending', '/v2/library/nginx'],
  ])('E73: %s is NAME_UNKNOWN', async (_case, target) => {
    expect(await codeOf(target)).toBe('NAME_UNKNOWN')
  })

  it('leaves paths outside of the API alone', async () => {
    for (const target of ['/', '/metrics', '/v1/_ping', '/evil.example/v2/x/manifests/y', '/ROOT/v2/x/manifests/y']) {
      expect(await codeOf(target)).toBeUndefined()
      expect(isApiPath(target, book)).toBe(false)
    }
  })

  it('takes a name without a rule from the cache, before the default upstream', async () => {
    const asked: string[] = []
    const has = async (repository: string) => {
      asked.push(repository)
      return repository === 'gone/app'
    }
    expect(await nameOf('/v2/gone/app/tags/list', book, has)).toMatchObject({ rule: undefined, repository: 'gone/app' })
    expect(await nameOf('/v2/other/app/tags/list', book, has)).toMatchObject({ rule: hub })
    expect(asked).toEqual(['gone/app', 'other/app'])
  })

  it('knows nothing without a default upstream, and everything with a ROOT rule', async () => {
    expect(await codeOf('/v2/nginx/manifests/latest', new RuleBook([hub]))).toBe('NAME_UNKNOWN')
    const root = rule('ROOT', 'root.example')
    expect(await nameOf('/v2/any.host/app/tags/list', new RuleBook([hub, root]))).toMatchObject({
      rule: root,
      repository: 'any.host/app',
    })
  })
})

describe('malformed names', () => {
  it.each([
    ['/v2/Library/nginx/manifests/latest', 'NAME_INVALID'],
    ['/v2/a;b/manifests/latest', 'NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/manifests/latest`, 'NAME_INVALID'],
    ['/v2/manifests/latest', 'NAME_INVALID'],
    [`/v2/nginx/blobs/sha256:${'a'.repeat(63)}`, 'DIGEST_INVALID'],
    [`/v2/nginx/blobs/sha256:${'A'.repeat(64)}`, 'DIGEST_INVALID'],
    [`/v2/nginx/blobs/sha256-${'a'.repeat(64)}`, 'DIGEST_INVALID'],
    ['/v2/nginx/manifests/sha256:baddigeststring', 'DIGEST_INVALID'],
    [`/v2/nginx/manifests/md5:${'a'.repeat(32)}`, 'DIGEST_INVALID'],
    [`/v2/nginx/manifests/${'a'.repeat(129)}`, 'MANIFEST_UNKNOWN'],
  ])('E71: %s is %s', async (target, code) => {
    expect(await codeOf(target)).toBe(code)
  })

  it('either names one canonical repository or says why not, whatever comes', async () => {
    const text = fc.string({ unit: fc.constantFrom(...'abv2/.:-_?=&n%s@Z'), maxLength: 40 })
    const target = fc.oneof(
      text.map((path) => `/${path}`),
      text.map((path) => `/v2/${path}/manifests/latest`),
      fc.tuple(text, text).map(([path, ns]) => `/v2/${path}/tags/list?ns=${ns}`),
    )
    await fc.assert(
      fc.asyncProperty(target, async (path) => {
        try {
          const route = await parseRoute(path, book, nothingCached)
          if (route && 'name' in route) expect(isRepository(route.name.repository)).toBe(true)
        } catch (error) {
          expect(isKind(error, 'unknown', 'invalid')).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })
})
