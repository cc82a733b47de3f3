import type { Route } from './names.ts'

/** A route of one kind. */
export type To<K extends Route['kind']> = Extract<Route, { kind: K }>
