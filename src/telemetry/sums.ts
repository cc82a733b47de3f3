import { Counter, type Registry } from 'prom-client'

/**
 * Adds up what a counter is told when somebody reads it: a request costs it one addition. The labels of a sum are the
 * values that lead to it, in the order of their names.
 */
export class Sums {
  readonly #next = new Map<string | number, Sums>()
  #sum: number | undefined

  of(value: string | number): Sums {
    const known = this.#next.get(value)
    if (known) return known
    const next = new Sums()
    this.#next.set(value, next)
    return next
  }

  add(amount = 1): void {
    this.#sum = (this.#sum ?? 0) + amount
  }

  /** All sums since they were taken last. */
  *take(labels: readonly (string | number)[] = []): Generator<{ labels: readonly (string | number)[]; sum: number }> {
    if (this.#sum !== undefined) yield { labels, sum: this.#sum }
    this.#sum = undefined
    for (const [value, next] of this.#next) yield* next.take([...labels, value])
  }
}

/** A counter that is fed by sums. */
export function summingCounter(registry: Registry, name: string, help: string, labelNames: readonly string[]): Sums {
  const sums = new Sums()
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      for (const { labels, sum } of sums.take()) {
        this.inc(Object.fromEntries(labelNames.map((label, at) => [label, labels[at] ?? ''])), sum)
      }
    },
  })
  return sums
}
