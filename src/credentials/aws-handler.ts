import { Agent } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { getCACertificates } from 'node:tls'

/** What stands between us and AWS, as the usual environment variables of these names say it. */
export type Way = {
  httpProxy?: string
  /** Without its own, HTTPS takes the proxy of HTTP. */
  httpsProxy?: string
  noProxy?: string
  /** Certificates in PEM that are trusted besides the system's. */
  ca?: string
}

/** For a client of AWS, which knows nothing of proxies by itself. Whoever made the client destroys it. */
export function handlerFor({ httpProxy, httpsProxy = httpProxy, noProxy, ca }: Way) {
  const proxyEnv = {
    ...(httpProxy && { HTTP_PROXY: httpProxy }),
    ...(httpsProxy && { HTTPS_PROXY: httpsProxy }),
    ...(noProxy && { NO_PROXY: noProxy }),
  }
  const trust = ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }
  return { httpAgent: new Agent({ proxyEnv }), httpsAgent: new TlsAgent({ proxyEnv, ...trust }) }
}
