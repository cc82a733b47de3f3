import type { Pull, Registry } from '../../oci/registry.ts'
import type { Route } from './names.ts'

/** A route of one kind. */
export type To<K extends Route['kind']> = Extract<Route, { kind: K }>

/** Whom a handler asks, and what it says about its caller. */
export type Source = { registry: Registry; pull: Pull }
