import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { startCistern } from '../support/cistern.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

type Alerts = { groups: { rules: { alert: string; expr: string }[] }[] }
type Panel = { title: string; targets?: { expr: string }[] }

const read = (path: string) => readFile(join(root, path), 'utf8')
const rules = async () => (parse(await read('deploy/prometheus/alerts.yaml')) as Alerts).groups.flatMap((g) => g.rules)
const panels = async () => (JSON.parse(await read('deploy/grafana/dashboard.json')) as { panels: Panel[] }).panels
const queries = async () => (await panels()).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

const promtool = (...args: string[]) => run(requireTool('promtool'), args)

it('alerts and dashboard ask for metrics that a running instance has', async () => {
  await using cistern = await startCistern({ rules: [] })
  const response = await fetch(new URL('/metrics', cistern.adminUrl))
  const kinds = new Map([...(await response.text()).matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, n, kind]) => [n, kind]))

  const expressions = [...(await rules()).map(({ expr }) => expr), ...(await queries())]
  const names = expressions.flatMap((expr) => expr.match(/\b(?:cistern|registry_proxy|process|nodejs)_\w+/g) ?? [])
  const unknown = names.filter((name) => {
    const histogram = /^(\w+)_(?:bucket|count|sum)$/.exec(name)?.[1]
    return !kinds.has(name) && kinds.get(histogram) !== 'histogram'
  })

  expect(names.length).toBeGreaterThan(20)
  expect(unknown).toEqual([])
})

it('docs/operations.md has every metric', async () => {
  using metrics = new Metrics({ version: '', cacheLimit: 0, usage: () => ({ stored: 0, objects: 0, expected: 0 }) })
  const names = [...(await metrics.read()).body.matchAll(/^# TYPE ((?:cistern|registry_proxy)_\w+) /gm)]
  const page = await read('docs/operations.md')
  expect(names.length).toBeGreaterThan(20)
  expect(names.map(([, name]) => name).filter((name) => !page.includes(`\`${name}\``))).toEqual([])
})

it('docs/operations.md says of each alert what it means', async () => {
  const explained = [...(await read('docs/operations.md')).matchAll(/^\| `(Cistern\w+)` \|/gm)].map(([, name]) => name)
  expect((await rules()).map(({ alert }) => alert).sort()).toEqual(explained.sort())
})

withTools('promtool')('alerts and dashboard', () => {
  it('raise each alert by what it is for, and none while all is well', async () => {
    const fires = await read('test/deploy/alerts.fires.yaml')
    for (const { alert } of await rules()) expect(fires).toContain(`alertname="${alert}"`)
    await promtool('check', 'rules', join(root, 'deploy', 'prometheus', 'alerts.yaml'))
    await promtool('test', 'rules', join(root, 'test', 'deploy', 'alerts.fires.yaml'))
  })

  it('have queries that Prometheus reads', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-dashboard-'))
    const file = join(directory.path, 'queries.yaml')
    const filled = (await queries()).map((expr) =>
      expr.replaceAll('$__rate_interval', '5m').replace(/\$__range/g, '1h'),
    )
    const records = [...new Set(filled)].map((expr, index) => ({ record: `panel:query:${index}`, expr }))
    await writeFile(file, stringify({ groups: [{ name: 'dashboard', rules: records }] }))
    await promtool('check', 'rules', file)
  })
})
