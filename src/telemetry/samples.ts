import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue } from 'prom-client'

/** The metrics of one process at one time. */
export type Samples = MetricObjectWithValues<MetricValue<string>>[]

/** The metrics of several processes as if they were one. What cannot be added up is that of the first. */
export function summed(first: Samples, others: readonly Samples[]) {
  const own = first.map((metric) => (metric.aggregator === 'omit' ? { ...metric, aggregator: 'first' } : metric))
  return AggregatorRegistry.aggregate([own, ...others])
}

/** What a process has counted that is no more, together with those before it: a sum of counts never goes down. */
export async function withDeparted(departed: Samples, last: Samples): Promise<Samples> {
  const counts = last.filter(({ type }) => String(type) === 'counter' || String(type) === 'histogram')
  return summed(departed, [counts]).getMetricsAsJSON()
}
