/** What is wrong with a lifecycle policy, as Amazon ECR begins to say it. It quotes no more than a name of the text. */
export class LifecyclePolicyError extends Error {
  override readonly name = 'LifecyclePolicyError'

  constructor(what: string) {
    super(`Lifecycle policy validation failure: ${what}`)
  }
}
