import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http'
import { join } from 'node:path'

/** Where the instance that has `dataDir` listens to commands. */
export const controlSocket = (dataDir: string): string => join(dataDir, 'cistern.sock')

/** There is no socket, nobody listens on it, or none can have that long a name. */
const noInstance = ['ENOENT', 'ECONNREFUSED', 'EINVAL', 'ENAMETOOLONG']

type Method = 'GET' | 'POST' | 'DELETE'

/**
 * Has the instance that runs on `dataDir` do what `target` names, and resolves to its answer, however long that takes;
 * `undefined` where none runs. Rejects where it cannot be reached or fails.
 */
export async function askInstance(dataDir: string, target: string, method: Method = 'POST'): Promise<unknown> {
  const response = await requestInstance(dataDir, target, { method })
  return response && JSON.parse(await whole(response))
}

/** The same for an answer of one JSON document per line. The lines reject where the instance breaks off. */
export async function askInstanceForLines(
  dataDir: string,
  target: string,
  method: Method = 'GET',
): Promise<AsyncIterable<unknown> | undefined> {
  const response = await requestInstance(dataDir, target, { method })
  return response && linesOf(response)
}

/** The same for an answer of any kind, to a request that may have a body. */
export async function requestInstance(
  dataDir: string,
  path: string,
  options: Pick<RequestOptions, 'method' | 'headers' | 'signal'>,
  send: (asking: ClientRequest) => Promise<void> | void = (asking) => void asking.end(),
): Promise<IncomingMessage | undefined> {
  const asking = request({ socketPath: controlSocket(dataDir), path, agent: false, ...options })
  const answered = once(asking, 'response') as Promise<[IncomingMessage]>
  answered.catch(() => {}) // told by the wait below, which may begin later
  let response: IncomingMessage
  try {
    await Promise.race([send(asking), answered])
    ;[response] = await answered
  } catch (error) {
    asking.destroy()
    options.signal?.throwIfAborted()
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error // what was to be sent failed
    if (noInstance.includes(code)) return undefined
    throw new Error(`the running instance did not answer (${code})`, { cause: error })
  }
  if (response.statusCode === 200) return response
  const { errors = [] } = JSON.parse(await whole(response)) as { errors?: { message: string }[] }
  throw new Error(errors[0]?.message ?? `the running instance answered ${response.statusCode}`)
}

/** What came of an answer is not the whole of it. */
const brokenOff = (cause?: unknown) =>
  new Error('the running instance broke off its answer: its log says why', { cause })

/** The bytes of an answer. Rejects where the instance breaks off. */
export async function* chunksOf(response: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* response as AsyncIterable<Buffer>
  } catch (cause) {
    throw response.aborted || response.errored ? brokenOff(cause) : cause
  }
  if (!response.complete) throw brokenOff()
}

const whole = async (response: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of chunksOf(response)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** The documents of an answer of one JSON document per line. Rejects where the instance breaks off. */
export async function* linesOf(response: IncomingMessage): AsyncIterable<unknown> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunksOf(response)) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield JSON.parse(line)
  }
}
