import { readdir, readFile, readlink } from 'node:fs/promises'

/** What a process holds, from outside: descriptors by what they are, and memory in bytes. */
export type Resources = { descriptors: number; partials: number; rss: number }

/** Broken transfers are kept open to go on with, a bounded number of them: these are `partials`. */
export async function resourcesOf(pid: number): Promise<Resources> {
  const names = await readdir(`/proc/${pid}/fd`)
  const targets = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => undefined)))
  const open = targets.filter((target) => target !== undefined)
  const partials = open.filter((target) => target.includes('/v1/ingest/')).length
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const rss = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
  return { descriptors: open.length - partials, partials, rss }
}
