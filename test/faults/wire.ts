import { RawConnection, type RawResponse } from '../support/raw-http.ts'

/** Bytes to Cistern as they stand, and the answers to them. */
export class Wire {
  readonly #port: number

  constructor(url: string) {
    this.#port = Number(new URL(url).port)
  }

  connect(): RawConnection {
    return new RawConnection(this.#port)
  }

  async send(text: string): Promise<RawResponse> {
    await using connection = this.connect()
    return await connection.send(text).response()
  }

  get(target: string, ...headers: string[]): Promise<RawResponse> {
    return this.send([`GET ${target} HTTP/1.1`, 'Host: test', ...headers, '', ''].join('\r\n'))
  }
}

export const toldRaw = ({ status, headers, body }: RawResponse) => {
  const json = headers.get('content-type') === 'application/json'
  return { status, code: json ? JSON.parse(body.toString()).errors?.[0]?.code : undefined }
}
