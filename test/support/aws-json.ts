import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

type Operation = (input: Record<string, unknown>) => object

/** A stand-in for AWS services of the JSON 1.1 protocol: operations by name. An error that is thrown has AWS's form. */
export class AwsJson implements AsyncDisposable {
  /** The operations that were called, with their input. */
  readonly calls: { operation: string; input: Record<string, unknown>; authorization: string }[] = []
  readonly operations: Record<string, Operation> = {}
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<AwsJson> {
    const server = createServer()
    const aws = new AwsJson(server)
    server.on('request', async (request, response) => {
      const operation = String(request.headers['x-amz-target']).split('.')[1] ?? ''
      const input = JSON.parse(await text(request))
      aws.calls.push({ operation, input, authorization: request.headers.authorization ?? '' })
      const [status, body] = answer(aws.operations[operation], input)
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return aws
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

function answer(operation: Operation | undefined, input: Record<string, unknown>): [number, object] {
  try {
    if (!operation) throw Object.assign(new Error('no such operation'), { name: 'UnknownOperationException' })
    return [200, operation(input)]
  } catch (error) {
    const { name, message } = error as Error
    return [400, { __type: name, message }]
  }
}
