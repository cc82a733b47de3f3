import { parentPort } from 'node:worker_threads'
import { compareSync } from 'bcryptjs'

export type Comparison = { id: number; password: string; hash: string }
export type Compared = { id: number; same: boolean }

parentPort?.on('message', ({ id, password, hash }: Comparison) => {
  const compared: Compared = { id, same: compareSync(password, hash) }
  parentPort?.postMessage(compared)
})
