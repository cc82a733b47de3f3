import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'

/** Where the instance that has `dataDir` listens to commands. */
export const controlSocket = (dataDir: string): string => join(dataDir, 'cistern.sock')

/** There is no socket, nobody listens on it, or none can have that long a name. */
const noInstance = ['ENOENT', 'ECONNREFUSED', 'EINVAL', 'ENAMETOOLONG']

/**
 * Has the instance that runs on `dataDir` do what `target` names, and resolves to its answer, however long that takes;
 * `undefined` where none runs. Rejects where it cannot be reached or fails.
 */
export async function askInstance(
  dataDir: string,
  target: string,
  method: 'GET' | 'POST' | 'DELETE' = 'POST',
): Promise<unknown> {
  const asking = request({ socketPath: controlSocket(dataDir), method, path: target, agent: false })
  asking.end()
  let response: IncomingMessage
  try {
    ;[response] = (await once(asking, 'response')) as [IncomingMessage]
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (noInstance.includes(code)) return undefined
    throw new Error(`the running instance did not answer (${code})`, { cause: error })
  }
  const answer = await json(response)
  if (response.statusCode === 200) return answer
  const [fault] = (answer as { errors?: { message: string }[] }).errors ?? []
  throw new Error(`the running instance answered ${response.statusCode}: ${fault?.message}`)
}
