import type { Links } from './links.ts'
import type { Negatives } from './negatives.ts'
import type { Recovery } from './recovery.ts'
import type { Stored } from './stored.ts'

/** What the parts of one rule's registry share. */
export type Shared = { links: Links; stored: Stored; recovery: Recovery; negatives: Negatives }
