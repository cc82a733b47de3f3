import type { Summary } from '../statistics.ts'

/** As many digits as a measurement like these has meaning for. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (value >= 1000) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ' ')
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export const times = (value: number): string => `${figure(value)}×`

/** The median, and from where to where values went, unless there is one only. */
export const spread = (summary: Summary, format: (value: number) => string = figure): string =>
  summary.min === summary.max
    ? format(summary.median)
    : `${format(summary.median)} (${format(summary.min)}–${format(summary.max)})`
