/**
 * Works until it is done, or until SIGINT or SIGTERM: then `work` is to end cleanly by its signal, and the promise rejects
 * with what stopped it. The next one ends the process.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const { signal } = controller
  const receive = (name: NodeJS.Signals) => {
    if (signal.aborted) process.exit(1)
    controller.abort(new Error(`stopped by ${name}`))
  }
  process.on('SIGINT', receive).on('SIGTERM', receive)
  try {
    return await work(signal)
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    process.off('SIGINT', receive).off('SIGTERM', receive)
  }
}
