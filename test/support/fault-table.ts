export type Sections = Record<string, { title: string; rows: Record<string, string> }>

/** A test that ran: where, under which names from the outermost suite to its own, and what came of it. */
export type Ran = { file: string; names: string[]; state: string }

type Entry = { test: string; state: string }

const prefix = /^([A-Z]\d{1,3}(?:, [A-Z]\d{1,3})*): /

/** Invariants and traps of the platform have numbers of their own, which this table does not hold. */
const isElsewhere = (id: string): boolean => id.startsWith('I') || id.startsWith('M')

/** Which tests hold which row, and what came of them; as a document and as a list of what is wrong with it. */
export class FaultTable {
  readonly #sections: Sections
  readonly #entries = new Map<string, Entry[]>()

  constructor(sections: Sections, ran: readonly Ran[]) {
    this.#sections = sections
    for (const { file, names, state } of ran) {
      const test = `\`${file}\` ${escaped(names.map((name) => name.replace(prefix, '')).join(' › '))}`
      const ids = names.flatMap((name) => prefix.exec(name)?.[1]?.split(', ') ?? [])
      for (const id of new Set(ids)) this.#add(id, { test, state })
    }
  }

  /** Gates that no test passes, rows of which a test fails, and names of tests that name no row. */
  get gaps(): string[] {
    const known = new Set(Object.values(this.#sections).flatMap(({ rows }) => Object.keys(rows)))
    const strangers = [...this.#entries.keys()].filter((id) => !known.has(id) && !isElsewhere(id))
    const rows = Object.values(this.#sections).flatMap(({ rows }) => Object.entries(rows))
    return [
      ...rows
        .filter(([id, text]) => this.#result(id) === 'failed' || (isGate(text) && this.#result(id) !== 'passed'))
        .map(([id, text]) => `${id} ${text}: ${this.#result(id)}`),
      ...strangers.map((id) => `${id} is no row: ${this.#entries.get(id)?.[0]?.test}`),
    ]
  }

  /** In Markdown. The same results make the same text, in whatever order the tests ran. */
  get text(): string {
    const rows = Object.values(this.#sections).flatMap(({ rows }) => Object.entries(rows))
    const gates = rows.filter(([, text]) => isGate(text))
    const passed = (some: [string, string][]) => some.filter(([id]) => this.#result(id) === 'passed').length
    return [
      '# Faults and their tests',
      '',
      '<!-- Written by `npm run test:faults-table` from a run of all tests; `npm test` in CI compares. -->',
      '',
      'Each row is something that goes wrong around a cache. A ★ marks what no release may get wrong.',
      '',
      `${passed(gates)} of ${gates.length} ★ rows pass, ${passed(rows)} of ${rows.length} rows in all.`,
      ...Object.values(this.#sections).flatMap(({ title, rows }) => [
        '',
        `## ${title}`,
        '',
        '| Row | Fault | Tests | Result |',
        '| --- | --- | --- | --- |',
        ...Object.entries(rows).map(([id, text]) => this.#line(id, text)),
      ]),
      '',
    ].join('\n')
  }

  #line(id: string, text: string): string {
    const tests = [...new Set(this.#entries.get(id)?.map(({ test }) => test))].sort()
    const result = this.#result(id)
    const shown = result === 'passed' ? result : `**${result}**`
    return `| ${id}${isGate(text) ? ' ★' : ''} | ${text.replace('★ ', '')} | ${tests.join('<br>') || '–'} | ${shown} |`
  }

  #result(id: string): string {
    const states = this.#entries.get(id)?.map(({ state }) => state) ?? []
    if (states.length === 0) return 'no test'
    return ['failed', 'passed'].find((state) => states.includes(state)) ?? 'skipped'
  }

  #add(id: string, entry: Entry): void {
    this.#entries.set(id, [...(this.#entries.get(id) ?? []), entry])
  }
}

const isGate = (text: string): boolean => text.startsWith('★')

/** For a cell of a table. Control characters, which names of hostile input have, are shown as their codes. */
const escaped = (text: string): string =>
  text
    .replace(/[\\|<>*_`[\]]/g, '\\$&')
    .replace(/\p{Cc}/gu, (char) => `U+${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`)
