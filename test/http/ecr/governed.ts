import {
  BatchDeleteImageCommand,
  GetLifecyclePolicyCommand,
  GetLifecyclePolicyPreviewCommand,
  ListImagesCommand,
  PutLifecyclePolicyCommand,
  StartLifecyclePolicyPreviewCommand,
} from '@aws-sdk/client-ecr'
import { Appliance, type ApplianceOptions } from '../../faults/appliance.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { eventually } from '../../support/eventually.ts'
import { type Image, image } from '../../support/faulty-upstream.ts'

export const repositoryName = 'up.test/app'
const dayMs = 86_400_000

/** An appliance on a clock that the test turns, managed by AWS's client, with one repository. */
export class Governed implements AsyncDisposable {
  readonly appliance: Appliance
  readonly ecr: ReturnType<typeof clientsOf>['ecr']
  readonly #turned: { ms: number }

  private constructor(appliance: Appliance, ecr: Governed['ecr'], turned: { ms: number }) {
    this.appliance = appliance
    this.ecr = ecr
    this.#turned = turned
  }

  static async start(options: Omit<ApplianceOptions, 'clock'> = {}): Promise<Governed> {
    const turned = { ms: 0 }
    const appliance = await Appliance.start({ ...options, clock: () => Date.now() + turned.ms })
    const url = new URL(appliance.url('')).origin
    return new Governed(appliance, clientsOf({ url }, await firstKey(appliance)).ecr, turned)
  }

  /** How far the clock is ahead. */
  get passedMs(): number {
    return this.#turned.ms
  }

  pass(days: number): void {
    this.#turned.ms += days * dayMs
  }

  /** Adds an image upstream, and pulls it by each of its tags; one without tags by its digest. */
  async add(seed: string, tags: string[]): Promise<Image> {
    const pushed = image({ seed, layers: [1000] })
    for (const tag of tags) this.appliance.upstream.addImage('app', tag, pushed)
    if (tags.length === 0) this.appliance.upstream.addImage('app', undefined, pushed)
    for (const reference of tags.length > 0 ? tags : [pushed.digest]) await this.pull(reference)
    return pushed
  }

  async pull(...references: string[]): Promise<void> {
    for (const reference of references) {
      const { status } = await this.appliance.manifest(reference)
      if (status !== 200) throw new Error(`the pull of ${reference} was answered ${status}`)
    }
  }

  /** Deletes an image from the cache, with its tags. */
  async forget(imageDigest: string): Promise<void> {
    await this.ecr.send(new BatchDeleteImageCommand({ repositoryName, imageIds: [{ imageDigest }] }))
  }

  put(lifecyclePolicyText: string) {
    return this.ecr.send(new PutLifecyclePolicyCommand({ repositoryName, lifecyclePolicyText }))
  }

  /** Waits until the policy was applied. */
  applied(): Promise<Date> {
    return eventually(async () => {
      const { lastEvaluatedAt } = await this.ecr.send(new GetLifecyclePolicyCommand({ repositoryName }))
      if (!lastEvaluatedAt) throw new Error('the policy was not applied')
      return lastEvaluatedAt
    })
  }

  /** The digests of the repository. */
  async digests(): Promise<string[]> {
    const { imageIds = [] } = await this.ecr.send(new ListImagesCommand({ repositoryName }))
    return [...new Set(imageIds.map(({ imageDigest = '' }) => imageDigest))]
  }

  /** What a policy would do, once that is known; without one the policy that was put. */
  async preview(lifecyclePolicyText?: string) {
    const text = lifecyclePolicyText !== undefined && { lifecyclePolicyText }
    await this.ecr.send(new StartLifecyclePolicyPreviewCommand({ repositoryName, ...text }))
    return eventually(async () => {
      const preview = await this.ecr.send(new GetLifecyclePolicyPreviewCommand({ repositoryName }))
      if (preview.status !== 'COMPLETE') throw new Error(`the preview is ${preview.status}`)
      return preview
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ecr.destroy()
    await this.appliance[Symbol.asyncDispose]()
  }
}
