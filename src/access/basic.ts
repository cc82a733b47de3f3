export type BasicCredentials = { username: string; password: string }

const maxLength = 8192

/**
 * Reads `Authorization: Basic …`: https://www.rfc-editor.org/rfc/rfc7617. `undefined` for other schemes, for what is not
 * strict base64 of text in UTF-8, and where there is no colon.
 */
export function parseBasic(header: string | undefined): BasicCredentials | undefined {
  if (!header || header.length > maxLength) return undefined
  const encoded = /^basic +([a-z0-9+/]+={0,2})$/i.exec(header)?.[1]
  if (encoded === undefined) return undefined
  const bytes = Buffer.from(encoded, 'base64')
  const strict = bytes.toString('base64')
  if (encoded !== strict && encoded !== strict.replace(/=+$/, '')) return undefined
  const text = textOf(bytes)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 0) return undefined
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}
