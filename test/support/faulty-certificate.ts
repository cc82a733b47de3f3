import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'

const oids = {
  ecdsaWithSha256: '06082a8648ce3d040302',
  commonName: '0603550403',
  subjectAltName: '0603551d11',
  basicConstraints: '0603551d13',
}

const oid = (name: keyof typeof oids) => Buffer.from(oids[name], 'hex')

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts)
const utcTime = (time: Date) => der(0x17, Buffer.from(`${time.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))

export type CertificateOptions = {
  /** The only name it is good for: an address, or else the name of a host. */
  ip?: [number, number, number, number]
  name?: string
  expired?: boolean
}

/** A certificate that vouches for itself, and its key, both in PEM. */
export function selfSigned({ ip = [127, 0, 0, 1], name: host, expired = false }: CertificateOptions = {}) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const day = 86_400_000
  const [from, to] = expired ? [-3, -2] : [-1, 1]
  const name = sequence(der(0x31, sequence(oid('commonName'), der(0x0c, Buffer.from(`test ${randomUUID()}`)))))
  const authority = sequence(oid('basicConstraints'), der(0x04, sequence(der(0x01, Buffer.from([0xff])))))
  const goodFor = host === undefined ? der(0x87, Buffer.from(ip)) : der(0x82, Buffer.from(host))
  const address = sequence(oid('subjectAltName'), der(0x04, sequence(goodFor)))
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    sequence(oid('ecdsaWithSha256')),
    name,
    sequence(utcTime(new Date(Date.now() + from * day)), utcTime(new Date(Date.now() + to * day))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(authority, address)),
  )
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, privateKey))
  const certificate = sequence(body, sequence(oid('ecdsaWithSha256')), signature).toString('base64')
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${certificate.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`,
  }
}
