import type { Finding } from '../finding.ts'
import type { Lab } from '../lab.ts'

/** One thing that is measured, and what is asked of it. Runs alone; leaves no server of its own behind. */
export type Measure = {
  /** For `--only`. */
  id: string
  /** The null test that shows whether what it compares can be compared. */
  nullTest?: string
  run(lab: Lab): Promise<Finding[]>
}
