import { readFile } from 'node:fs/promises'
import { sealKeyBytes } from './seal.ts'

/**
 * Reads a key that is given: its bytes as they are, or in hexadecimal or base64. Bytes that are all text are none: that
 * would be a shorter key written out. Throws; no message quotes the file.
 */
export async function readSealKey(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path} cannot be read (${cause.code})`, { cause })
  })
  const text = bytes.toString('latin1').replace(/\r?\n$/, '')
  const isText = /^[\x20-\x7e]*$/.test(text)
  const key = isText ? decoded(text) : bytes.length === sealKeyBytes ? bytes : undefined
  if (key) return key
  throw new Error(`${path} does not hold a key: ${sealKeyBytes} bytes, as they are or in hexadecimal or base64`)
}

function decoded(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === sealKeyBytes && bytes.toString('base64') === text ? bytes : undefined
}
