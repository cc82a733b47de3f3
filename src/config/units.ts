const durations = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const

const sizes = {
  TiB: 2 ** 40,
  GiB: 2 ** 30,
  MiB: 2 ** 20,
  KiB: 2 ** 10,
  TB: 1e12,
  GB: 1e9,
  MB: 1e6,
  KB: 1e3,
  B: 1,
} as const

/** Milliseconds of `500ms`, `30s`, `5m`, `24h`, `7d` or `0`; `undefined` for anything else. */
export const parseDuration = (text: string): number | undefined =>
  text === '0' ? 0 : parse(text, /^(\d{1,15}(?:\.\d{1,6})?)(ms|[smhd])$/, durations)

/** Bytes of `10KiB`, `1.5GB` or a plain number; `undefined` for anything else. */
export const parseSize = (text: string): number | undefined =>
  parse(/^\d+$/.test(text) ? `${text}B` : text, /^(\d{1,16}(?:\.\d{1,6})?)((?:[KMGT]i?)?B)$/, sizes)

/** The shortest exact spelling. */
export const formatDuration = (ms: number): string => (ms === 0 ? '0' : format(ms, durations))

/** The shortest exact spelling in powers of two. */
export const formatSize = (bytes: number): string => {
  const { TiB, GiB, MiB, KiB } = sizes
  return bytes === 0 ? '0' : format(bytes, { TiB, GiB, MiB, KiB, '': 1 })
}

function parse(text: string, grammar: RegExp, units: Record<string, number>): number | undefined {
  const [, amount = '', unit = ''] = grammar.exec(text) ?? []
  const value = Math.round(Number(amount) * (units[unit] ?? Number.NaN))
  return amount !== '' && Number.isSafeInteger(value) ? value : undefined
}

function format(value: number, units: Record<string, number>): string {
  const [unit, factor] = Object.entries(units).find(([, factor]) => value % factor === 0) ?? ['', 1]
  return `${value / factor}${unit}`
}
