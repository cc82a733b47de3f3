import type { Socket } from 'node:net'
import { keepCompiled } from '../commands/compile-cache.ts'
import { surviveRejections } from '../commands/survival.ts'
import type { ToFront } from './messages.ts'

/*
 * What runs in a process that serves clients for the one that has the cache: its owner. It ends when the owner says so,
 * or is gone.
 */
surviveRejections()
keepCompiled()
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => {}) // whoever signals the whole group means the owner
}
const gone = () => process.exit(1)
process.once('disconnect', gone)
const { Front } = await import('./front-work.ts')
const front = new Front({
  send: (message) => process.send?.(message, undefined, undefined, () => {}),
  leave: () => {
    process.off('disconnect', gone)
    process.disconnect?.()
    setTimeout(() => process.exit(), 1000).unref() // whoever stalls reading the log does not keep the process
  },
})
process.on('message', (message: ToFront, socket?: Socket) => front.take(message, socket))
front.announce()
