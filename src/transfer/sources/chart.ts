import { invalid } from '../request.ts'
import { type ChartFiles, filesInArchive } from './chart-files.ts'
import { imagesInValues } from './chart-values.ts'
import type { Found } from './references.ts'
import { documentsIn, isRecord } from './yaml.ts'

type Values = Record<string, unknown>

type Chart = {
  name: string
  appVersion: string | undefined
  values: Values
  dependencies: { name: string; key: string; conditions: string[] }[]
  charts: Chart[]
}

/** Charts within packed charts. */
const maxDepth = 8

/**
 * The images that the values of a Helm chart and of its subcharts name by the usual conventions. Its templates are not
 * rendered: what only they name is missing. Throws `invalid` for what is no chart.
 */
export async function imagesInChart(files: ChartFiles): Promise<Found> {
  const found: Found = { references: [], faults: [] }
  collect(await chartIn(files, '', maxDepth), {}, found)
  return { references: [...new Set(found.references)], faults: found.faults }
}

async function chartIn(files: ChartFiles, prefix: string, depth: number): Promise<Chart> {
  const description = document(files, `${prefix}Chart.yaml`)
  if (!description || typeof description.name !== 'string') throw invalid('this is no Helm chart: it has no Chart.yaml')
  const { name, appVersion, dependencies } = description
  const charts: Chart[] = []
  for (const [path, bytes] of files) {
    const inside = path.startsWith(`${prefix}charts/`) ? path.slice(prefix.length + 'charts/'.length) : ''
    if (depth > 0 && /^[^/]+\/Chart\.yaml$/.test(inside)) {
      charts.push(await chartIn(files, path.slice(0, -'Chart.yaml'.length), depth - 1))
    } else if (depth > 0 && /^[^/]+\.tgz$/.test(inside)) {
      charts.push(await chartIn(await filesInArchive(pieces(bytes)), '', depth - 1))
    }
  }
  return {
    name,
    appVersion: appVersion === undefined || appVersion === null ? undefined : String(appVersion),
    values: document(files, `${prefix}values.yaml`) ?? {},
    dependencies: (Array.isArray(dependencies) ? dependencies : []).filter(isRecord).map((dependency) => ({
      name: String(dependency.name),
      key: String(dependency.alias ?? dependency.name),
      conditions: String(dependency.condition ?? '')
        .split(',')
        .map((path) => path.trim())
        .filter(Boolean),
    })),
    charts,
  }
}

/** Values of the chart around it win over those of a subchart. */
function collect(chart: Chart, overrides: Values, found: Found): void {
  const values = merged(chart.values, overrides)
  const listed = new Set(chart.dependencies.map(({ name }) => name))
  const subcharts = [
    ...chart.dependencies,
    ...chart.charts.filter(({ name }) => !listed.has(name)).map(({ name }) => ({ name, key: name, conditions: [] })),
  ]
  const keys = new Set(subcharts.map(({ key }) => key))
  const own = Object.fromEntries(Object.entries(values).filter(([key]) => !keys.has(key)))
  const images = imagesInValues(own, chart.appVersion)
  found.references.push(...images.references)
  found.faults.push(...images.faults.map((fault) => `chart ${chart.name}: ${fault}`))
  for (const { name, key, conditions } of subcharts) {
    if (!isEnabled(conditions, values)) continue
    const subchart = chart.charts.find((each) => each.name === name)
    if (!subchart) {
      found.faults.push(
        `chart ${chart.name}: it depends on ${name}, which is not in its charts/ (helm dependency build)`,
      )
      continue
    }
    const given = isRecord(values[key]) ? values[key] : {}
    collect(subchart, merged({ ...(isRecord(values.global) && { global: values.global }) }, given), found)
  }
}

/** The first of the conditions that stands in the values decides. */
function isEnabled(conditions: readonly string[], values: Values): boolean {
  for (const path of conditions) {
    const value = path.split('.').reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), values)
    if (typeof value === 'boolean') return value
  }
  return true
}

function merged(base: Values, over: Values): Values {
  const result: Values = { ...base }
  for (const [key, value] of Object.entries(over)) {
    const before = result[key]
    result[key] = isRecord(before) && isRecord(value) ? merged(before, value) : value
  }
  return result
}

function document(files: ChartFiles, path: string): Values | undefined {
  const bytes = files.get(path)
  if (!bytes) return undefined
  const what = `${path} is no YAML that a chart could have`
  const [value = null] = documentsIn(Buffer.from(bytes).toString(), what)
  if (isRecord(value) || value === null) return value ?? {}
  throw invalid(what)
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
