import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { run } from '../../test/support/process.ts'
import { cores, pinned } from '../cores.ts'

/** Programs of this folder. Each reads what it is to do from its input, as JSON, and prints what came of it. */
export type Script = 'blobs.ts' | 'cannon.ts' | 'first-bytes.ts' | 'heads.ts' | 'slow-readers.ts' | 'steady.ts'

/** Runs one in a process of its own, on the processor of the load. Nothing secret is in its arguments. */
export async function drive<Task, Result>(script: Script, task: Task, timeoutMs: number): Promise<Result> {
  const [command, args] = pinned(cores.load, process.execPath, [join(import.meta.dirname, script)])
  const { stdout } = await run(command, args, { input: JSON.stringify(task), timeoutMs })
  return JSON.parse(stdout) as Result
}

/** The other end of `drive`. */
export async function answer<Task, Result>(work: (task: Task) => Promise<Result>): Promise<void> {
  const result = await work((await json(process.stdin)) as Task)
  process.stdout.write(JSON.stringify(result))
}
