import { type Blob, type FaultyUpstream, type Image, image, randomBlob } from '../support/faulty-upstream.ts'
import type { Dice } from './dice.ts'

export const repository = 'soak/app'

const smallest = 2_000
const largest = 3_000_000

/** What the upstream of a soak holds, and held: images whose tags move, and blobs of all sizes. */
export class Content {
  readonly blobs = new Map<string, Blob>()
  readonly manifests = new Map<string, Image>()
  /** All that a tag ever pointed to. */
  readonly tags = new Map<string, Set<string>>()
  readonly #upstream: FaultyUpstream

  constructor(upstream: FaultyUpstream, dice: Dice) {
    this.#upstream = upstream
    for (let n = 0; n < 40; n++) {
      const size = Math.round(smallest * (largest / smallest) ** dice.share())
      const blob = upstream.addBlob(repository, randomBlob(size, `soak ${n}`))
      this.blobs.set(blob.digest, blob)
    }
    for (let n = 0; n < 6; n++) this.moveTag(`v${n % 3}`, n)
  }

  get bytes(): number {
    return [...this.blobs.values()].reduce((sum, { size }) => sum + size, 0)
  }

  /** Pushes an image of its own under a tag. */
  moveTag(tag: string, seed: number): void {
    const pushed = image({ seed: `soak image ${seed}`, layers: [50_000, 400_000] })
    this.tags.set(tag, (this.tags.get(tag) ?? new Set()).add(pushed.digest))
    this.manifests.set(pushed.digest, pushed)
    for (const blob of [pushed.config, ...pushed.layers]) this.blobs.set(blob.digest, blob)
    this.#upstream.addImage(repository, tag, pushed)
  }
}
