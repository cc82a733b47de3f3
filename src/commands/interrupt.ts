/** A signal that is aborted by the first SIGINT or SIGTERM, so that work ends cleanly; the next one ends the process. */
export function onInterrupt(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController()
  const receive = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(1)
    controller.abort(new Error(`stopped by ${name}`))
  }
  process.on('SIGINT', receive).on('SIGTERM', receive)
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => void process.off('SIGINT', receive).off('SIGTERM', receive),
  }
}
