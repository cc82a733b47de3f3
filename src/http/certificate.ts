import { constants, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { publish } from '../telemetry/events.ts'

/** Paths of files in PEM. */
export type TlsFiles = {
  /** The certificate, followed by those between it and its authority. */
  readonly certFile: string
  readonly keyFile: string
  /** Whose certificates clients have to show; absent, they need none. */
  readonly clientCaFile?: string
}

/** What a secure context is made of, in PEM. */
export type Material = { cert: string; key: string; ca?: string }

/** What a TLS server proves itself with. */
export type Proof = {
  /** What connections are made by, as of now. */
  readonly context: SecureContextOptions
  readonly asksClients: boolean
  /** Calls `renew` each time that there is another one, until the function that it returns is called. */
  follow(renew: () => void): () => void
}

/** In milliseconds since the epoch. */
export type Validity = { beginsAt: number; expiresAt: number }

type Found = {
  material: Material
  validity: Validity
  /** Every user of the machine can read the key. */
  exposed: boolean
}

const lookEveryMs = 1000

/** Nothing without forward secrecy or authenticated encryption, nor a second handshake that a client asks for. */
const protocol: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  ciphers: [
    ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
    ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    ...['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
  ].join(':'),
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
}

/**
 * A certificate and its key, read again when their files change: looked at by name, so that it is seen too when a link
 * on the way leads elsewhere, as Kubernetes has it. What does not fit together changes nothing.
 */
export class Certificate implements Proof {
  readonly #files: TlsFiles
  readonly #clock: () => number
  #found: Found
  #version: string
  /** The version that was found wrong, and how often it was looked at. */
  #wrong = { version: '', looks: 0 }

  private constructor(files: TlsFiles, clock: () => number, found: Found, version: string) {
    this.#files = files
    this.#clock = clock
    this.#found = found
    this.#version = version
  }

  /** Throws, with a message that names the files, where they cannot be served. The clock is in milliseconds since the epoch. */
  static async open(files: TlsFiles, clock: () => number = Date.now): Promise<Certificate> {
    const version = await versionOf(files)
    return new Certificate(files, clock, await read(files, clock), version)
  }

  /** As of the last look. */
  get material(): Material {
    return this.#found.material
  }

  get asksClients(): boolean {
    return this.#files.clientCaFile !== undefined
  }

  get context(): SecureContextOptions {
    return { ...protocol, ...this.#found.material }
  }

  get validity(): Validity {
    return this.#found.validity
  }

  /** Whether every user of the machine can read the key. */
  get exposed(): boolean {
    return this.#found.exposed
  }

  /** Looks at the files from now on, and announces what is served, at once and whenever that is another one. */
  follow(renew: () => void): () => void {
    let over = false
    let timer: NodeJS.Timeout | undefined
    const look = async () => {
      const changed = await this.look()
      if (over) return
      if (changed) {
        renew()
        this.#announce(true)
      }
      timer = setTimeout(look, lookEveryMs).unref()
    }
    this.#announce(false)
    timer = setTimeout(look, lookEveryMs).unref()
    return () => {
      over = true
      clearTimeout(timer)
    }
  }

  /** Resolves to whether there is another one. One that stays wrong is announced once; files on their way are not. */
  async look(): Promise<boolean> {
    const version = await versionOf(this.#files)
    if (version === this.#version) return false
    try {
      this.#found = await read(this.#files, this.#clock)
      this.#version = version
      return true
    } catch (error) {
      const looks = version === this.#wrong.version ? this.#wrong.looks + 1 : 1
      this.#wrong = { version, looks }
      const message = 'the previous certificate is still served: the new one cannot be'
      if (looks === 2) publish('cistern:fault', { where: 'http', kind: 'invalid', message, error })
      return false
    }
  }

  #announce(replaced: boolean): void {
    const { certFile, keyFile } = this.#files
    publish('cistern:certificate', { file: certFile, replaced, ...this.validity })
    const message = `${keyFile}: every user of this machine can read the key of the certificate`
    if (this.exposed) publish('cistern:fault', { where: 'http', kind: 'invalid', message })
  }
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

async function read(files: TlsFiles, clock: () => number): Promise<Found> {
  const { certFile, keyFile, clientCaFile } = files
  const [cert = '', key = '', ca] = await Promise.all(pathsOf(files).map(readPem))
  const certificate = parsed(certFile, 'certificate', () => new X509Certificate(cert))
  if (!certificate.checkPrivateKey(readKey(keyFile, key))) {
    throw new Error(`${keyFile}: is not the key of the certificate in ${certFile}`)
  }
  const beginsAt = certificate.validFromDate.getTime()
  const expiresAt = certificate.validToDate.getTime()
  if (expiresAt <= clock()) throw new Error(`${certFile}: expired at ${certificate.validToDate.toISOString()}`)
  const material = { cert, key, ...(ca !== undefined && { ca }) }
  parsed(pathsOf(files).join(', '), 'certificate with its key', () => createSecureContext({ ...protocol, ...material }))
  if (clientCaFile !== undefined && ca !== undefined) {
    for (const each of ca.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? [])
      parsed(clientCaFile, 'list of certificates', () => new X509Certificate(each))
  }
  const { mode } = await stat(keyFile)
  return { material, validity: { beginsAt, expiresAt }, exposed: (mode & 0o004) !== 0 }
}

function readKey(path: string, pem: string): KeyObject {
  if (/^Proc-Type: 4,ENCRYPTED|-----BEGIN ENCRYPTED /m.test(pem)) {
    throw new Error(`${path}: is encrypted, and there is no passphrase for it`)
  }
  return parsed(path, 'private key', () => createPrivateKey(pem))
}

function parsed<T>(path: string, what: string, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    throw new Error(`${path}: no ${what} (${(cause as NodeJS.ErrnoException).code ?? 'no code'})`, { cause })
  }
}

/** OpenSSL takes what is cut off in the middle for a shorter file. */
async function readPem(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path}: cannot be read (${cause.code})`, { cause })
  })
  const count = (mark: string) => text.split(`-----${mark} `).length - 1
  if (count('BEGIN') > 0 && count('BEGIN') === count('END')) return text
  throw new Error(`${path}: is not PEM`)
}
