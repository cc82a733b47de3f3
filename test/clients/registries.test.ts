import { describe, expect, it } from 'vitest'
import { leadsToDockerHub, mirrorsOf } from '../../src/clients/mirrors.ts'
import { builtInRules } from '../../src/rules/built-in.ts'
import { plainRule } from '../../src/rules/plain-rule.ts'
import { RuleBook } from '../../src/rules/rule-book.ts'

const rule = (prefix: string, upstream: string, upstreamRepositoryPrefix = 'ROOT') =>
  plainRule({ prefix, source: 'file', upstream, upstreamRepositoryPrefix })

const found = (...rules: ReturnType<typeof rule>[]) => mirrorsOf(new RuleBook(rules))

describe('registries that clients go on naming', () => {
  it('are those of the built-in rules, Docker Hub by the name that it has in images', () => {
    const { mirrors, byName } = found(...builtInRules)

    expect(byName).toEqual([])
    expect(mirrors.map(({ registry }) => registry)).toEqual(builtInRules.map(({ prefix }) => prefix))
    expect(mirrors[0]).toEqual({
      registry: 'docker.io',
      prefix: 'docker.io',
      byNamespace: true,
      server: 'https://registry-1.docker.io',
      rules: ['docker.io'],
    })
    expect(mirrors.every(({ byNamespace }) => byNamespace)).toBe(true)
    expect(mirrors[2]?.server).toBe('https://quay.io')
  })

  it('have the name of the prefix, whoever stands in for them, and the port of their upstream', () => {
    const { mirrors } = found(
      rule('docker.io', 'https://mirror.gcr.io'),
      rule('lab.example', 'http://lab.example:5000'),
      rule('localhost', 'http://localhost:7000'),
    )

    expect(mirrors).toMatchObject([
      { registry: 'docker.io', prefix: 'docker.io', byNamespace: true, server: 'https://registry-1.docker.io' },
      { registry: 'lab.example:5000', prefix: 'lab.example', byNamespace: true, server: 'http://lab.example:5000' },
      { registry: 'localhost:7000', prefix: 'localhost', server: 'http://localhost:7000' },
    ])
  })

  it('are those of upstreams where a prefix is no name, and without any prefix for ROOT', () => {
    const { mirrors, byName } = found(
      rule('hub', 'https://registry-1.docker.io'),
      rule('lab', 'http://lab.example:5000'),
      rule('ROOT', 'https://quay.io'),
    )

    expect(byName).toEqual([])
    expect(mirrors).toMatchObject([
      { registry: 'docker.io', prefix: 'hub', byNamespace: true, server: 'https://registry-1.docker.io' },
      { registry: 'lab.example:5000', prefix: 'lab', byNamespace: true, server: 'http://lab.example:5000' },
      { registry: 'quay.io', prefix: '', byNamespace: true, rules: ['ROOT'] },
    ])
  })

  it('are reached by the path where rules lie below them, which a namespace would pass by', () => {
    const { mirrors } = found(
      rule('ghcr.io/team', 'https://ghcr.io', 'team'),
      rule('ghcr.io', 'https://ghcr.io'),
      rule('quay.io/org/deep', 'https://quay.io', 'org/deep'),
    )

    expect(mirrors).toMatchObject([
      { registry: 'ghcr.io', prefix: 'ghcr.io', byNamespace: false, rules: ['ghcr.io/team', 'ghcr.io'] },
      { registry: 'quay.io', prefix: 'quay.io', byNamespace: false, server: 'https://quay.io' },
    ])
  })

  it('are none where the name of an image leads elsewhere, or to more than one rule', () => {
    const { mirrors, byName } = found(
      rule('docker.io', 'https://registry-1.docker.io'),
      rule('hub', 'https://registry-1.docker.io'),
      rule('library', 'https://public.ecr.aws', 'docker/library'),
      rule('one', 'https://twice.example'),
      rule('two', 'https://twice.example'),
    )

    expect(mirrors.map(({ registry }) => registry)).toEqual(['docker.io'])
    expect(byName.map(({ prefix }) => prefix)).toEqual(['hub', 'library', 'one', 'two'])
  })

  it.each(['https://..', 'https://a..b', 'http://registry', 'https://a_b.example', 'https://-a.example'])(
    'are none where %s is what they would be called',
    (upstream) => {
      expect(found(rule('lab', upstream))).toMatchObject({ mirrors: [], byName: [{ prefix: 'lab' }] })
      expect(found(rule('a_b.example', upstream))).toMatchObject({ mirrors: [], byName: [{ prefix: 'a_b.example' }] })
    },
  )

  it('may be addresses', () => {
    const { mirrors } = found(rule('four', 'http://10.0.0.1'), rule('six', 'http://[fd00::1]:5000'))
    expect(mirrors.map(({ registry }) => registry)).toEqual(['10.0.0.1', '[fd00::1]:5000'])
  })

  it('have no two rules for one name', () => {
    const { mirrors } = found(
      rule('index.docker.io', 'https://registry-1.docker.io'),
      rule('docker.io', 'https://registry-1.docker.io'),
    )

    expect(mirrors).toMatchObject([{ registry: 'docker.io', prefix: 'docker.io' }])
  })
})

it.each([
  [rule('docker.io', 'https://stand-in.example'), true],
  [rule('ROOT', 'https://registry-1.docker.io'), true],
  [rule('ROOT', 'https://registry-1.docker.io', 'library'), false],
  [rule('ghcr.io', 'https://ghcr.io'), false],
  [undefined, false],
])('%j takes names without a registry for those of Docker Hub: %j', (root, expected) => {
  expect(leadsToDockerHub(root)).toBe(expected)
})
