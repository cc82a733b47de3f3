import type { Expiry } from '../repositories/expiry.ts'
import { publish } from '../telemetry/events.ts'

const hourMs = 60 * 60_000

/** Applies each lifecycle policy whenever `intervalMs` have passed since that was last done. Its owner disposes it. */
export function expireInBackground(expiry: Expiry, intervalMs = hourMs): Disposable {
  let running = false
  const expire = async () => {
    if (running) return
    running = true
    try {
      await expiry.run(intervalMs)
    } catch (error) {
      const message = 'the lifecycle policies could not be read'
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message, error })
    } finally {
      running = false
    }
  }
  void expire()
  const timer = setInterval(expire, intervalMs).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
