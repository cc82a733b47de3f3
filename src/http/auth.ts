import type { IncomingMessage } from 'node:http'

/** Who calls. In open mode, the only one there is yet, everybody is anonymous. */
export type Principal = { name: 'anonymous' }

const anonymous: Principal = { name: 'anonymous' }

/**
 * The one place where a caller's identity is decided. Clients send along what they have for the registry they believe
 * they talk to; in open mode nobody looks at it.
 */
export const principalOf = (_request: IncomingMessage): Principal => anonymous
