import { readFile, stat } from 'node:fs/promises'
import type { ServerOptions } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext, type TLSSocket } from 'node:tls'
import { publish } from '../telemetry/events.ts'
import { publishRefusal } from './client-error.ts'

/** Paths of files in PEM. */
export type TlsFiles = {
  /** The certificate, followed by those between it and its authority. */
  readonly certFile: string
  readonly keyFile: string
  /** Whose certificates clients have to show; absent, they need none. */
  readonly clientCaFile?: string
}

type Material = { cert: string; key: string; ca?: string }

const lookEveryMs = 1000

/**
 * A certificate and its key, read again when their files change: looked at by name, so that it is seen too when a link
 * on the way leads elsewhere, as Kubernetes has it. What does not fit together changes nothing.
 */
export class Certificate {
  readonly #files: TlsFiles
  #material: Material
  #version: string
  /** The version that was found wrong, and how often it was looked at. */
  #wrong = { version: '', looks: 0 }

  private constructor(files: TlsFiles, material: Material, version: string) {
    this.#files = files
    this.#material = material
    this.#version = version
  }

  /** Throws, with a message that names the files, where they cannot be served. */
  static async open(files: TlsFiles): Promise<Certificate> {
    const version = await versionOf(files)
    return new Certificate(files, await read(files), version)
  }

  /** As of the last look. */
  get material(): Material {
    return this.#material
  }

  get asksClients(): boolean {
    return this.#files.clientCaFile !== undefined
  }

  /** Resolves to whether there is another one. One that stays wrong is announced once; files on their way are not. */
  async look(): Promise<boolean> {
    const version = await versionOf(this.#files)
    if (version === this.#version) return false
    try {
      this.#material = await read(this.#files)
      this.#version = version
      return true
    } catch (error) {
      const looks = version === this.#wrong.version ? this.#wrong.looks + 1 : 1
      this.#wrong = { version, looks }
      const message = 'the certificate of before is served still: the new one cannot be'
      if (looks === 2) publish('cistern:fault', { where: 'http', kind: 'invalid', message, error })
      return false
    }
  }
}

/** An HTTPS server, not yet listening. New connections get the latest certificate; those there are stay as they are. */
export function createTlsServer(certificate: Certificate, options: ServerOptions) {
  const server = createServer({
    ...options,
    ...certificate.material,
    requestCert: certificate.asksClients,
    rejectUnauthorized: certificate.asksClients,
    ...(options.headersTimeout !== undefined && { handshakeTimeout: options.headersTimeout }),
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  // Node hands these on as if they were malformed requests, to be answered in HTTP.
  server.removeAllListeners('tlsClientError').on('tlsClientError', refuseHandshake)
  server.once('listening', () => follow(certificate, server))
  return {
    server,
    /** Ends all connections, also those that did not come to a request yet. */
    breakOff: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function follow(certificate: Certificate, server: Server): void {
  let timer: NodeJS.Timeout | undefined
  const look = async () => {
    const changed = await certificate.look()
    if (!server.listening) return
    if (changed) server.setSecureContext(certificate.material)
    timer = setTimeout(look, lookEveryMs).unref()
  }
  timer = setTimeout(look, lookEveryMs).unref()
  server.once('close', () => clearTimeout(timer))
}

/** A connection that breaks before anything was said is a probe, or a client that went. */
function refuseHandshake(error: NodeJS.ErrnoException, socket: TLSSocket): void {
  const { authorizationError } = socket // where the certificate of the client is the reason, its code
  const reason = authorizationError ? new Error(String(authorizationError)) : error
  const gone = reason === error && error.code === 'ECONNRESET'
  if (!gone) publishRefusal(socket, { route: 'handshake', status: 400, bytes: 0, error: reason })
  socket.destroy()
}

/** Of what the names lead to at present; a missing file is a version too. */
async function versionOf(files: TlsFiles): Promise<string> {
  const versions = pathsOf(files).map(async (path) => {
    const found = await stat(path, { bigint: true }).catch(() => undefined)
    return found ? [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ') : 'missing'
  })
  return (await Promise.all(versions)).join()
}

const pathsOf = ({ certFile, keyFile, clientCaFile }: TlsFiles): string[] =>
  clientCaFile === undefined ? [certFile, keyFile] : [certFile, keyFile, clientCaFile]

async function read(files: TlsFiles): Promise<Material> {
  const [cert = '', key = '', ca] = await Promise.all(pathsOf(files).map(readPem))
  const material = { cert, key, ...(ca !== undefined && { ca }) }
  try {
    createSecureContext(material)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'no code'
    throw new Error(`${pathsOf(files).join(', ')}: are no certificate with its key (${code})`, { cause })
  }
  return material
}

/** OpenSSL takes what is cut off in the middle for a shorter file. */
async function readPem(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path}: cannot be read (${cause.code})`, { cause })
  })
  const count = (mark: string) => text.split(`-----${mark} `).length - 1
  if (count('BEGIN') > 0 && count('BEGIN') === count('END')) return text
  throw new Error(`${path}: is no PEM`)
}
