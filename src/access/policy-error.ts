/** What is wrong with a policy document. The message names places and never quotes more than a name of the document. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError'
}
