import { MemorySettings } from '../../src/metadata/memory.ts'
import { Expiring } from '../../src/repositories/expiring.ts'
import { Expiry } from '../../src/repositories/expiry.ts'
import { Previews } from '../../src/repositories/previews.ts'
import { Settings } from '../../src/repositories/settings.ts'
import { given } from './given.ts'

export const day = 24 * 60 * 60_000

type Selection = { countType: string; countNumber: number; [member: string]: unknown }

export const policyOf = (selection: Selection): string => {
  const unit = selection.countType === 'imageCountMoreThan' ? {} : { countUnit: 'days' }
  const rule = { rulePriority: 1, selection: { tagStatus: 'any', ...unit, ...selection }, action: { type: 'expire' } }
  return JSON.stringify({ rules: [rule] })
}

/** Repositories in memory with what expires their images. */
export function givenExpiry(isPinned: (repository: string, tags: readonly string[]) => boolean = () => false) {
  const parts = given()
  const store = new MemorySettings()
  const clock = () => parts.clock.now
  const settings = new Settings(store, parts.metadata.repositories)
  const expiring = new Expiring({ ...parts, isPinned, clock })
  const expiry = new Expiry({ ...parts, settings, expiring, clock })
  /** A repository with a policy. */
  const govern = async (repository: string, lifecyclePolicy: string) => {
    await settings.begin(repository, 0)
    await settings.change(repository, () => ({ lifecyclePolicy }))
  }
  return { ...parts, settings, expiring, expiry, govern, previews: new Previews(expiring, clock) }
}
