/**
 * Has the containerd of this node pull through a mirror while the mirror answers: writes a hosts.toml for each
 * registry, keeps what stood there, and puts it back when the mirror stops answering, and at the end. What it has done
 * can be seen from the directory alone, so that whoever comes after a kill takes over.
 *
 * The chart starts it with DIRECTORY (containerd's config_path), REGISTRIES (names, parted by commas), MIRROR_HOST and
 * MIRROR_PORT. It is mounted, and so imports nothing.
 */
import { mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const { DIRECTORY = '', REGISTRIES = '', MIRROR_HOST = '', MIRROR_PORT = '', INTERVAL_MS = '5000' } = process.env
const mirror = `http://${MIRROR_HOST.includes(':') ? `[${MIRROR_HOST}]` : MIRROR_HOST}:${MIRROR_PORT}`

const mark = '# Written by the node configuration of Cistern, which takes it back when the cache is gone.'

/** How often in a row the mirror may fail to answer before it is given up. */
const patience = 2

const fileOf = (registry: string) => join(DIRECTORY, registry, 'hosts.toml')
const keptOf = (registry: string) => `${fileOf(registry)}.before-cistern`

const hostsToml = (registry: string): string => `${mark}
server = "https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}"

[host."${mirror}"]
  capabilities = ["pull", "resolve"]
`

async function answers(): Promise<boolean> {
  try {
    const response = await fetch(`${mirror}/v2/`, { signal: AbortSignal.timeout(2000) })
    await response.arrayBuffer() // lets the connection serve again
    return response.status === 200
  } catch {
    return false
  }
}

async function configure(registry: string): Promise<void> {
  const file = fileOf(registry)
  const wanted = hostsToml(registry)
  const present = await read(file)
  if (present === wanted) return
  await mkdir(join(DIRECTORY, registry), { recursive: true })
  if (present !== undefined && !present.startsWith(mark)) await rename(file, keptOf(registry))
  await writeFile(`${file}.new`, wanted, { mode: 0o644 })
  await rename(`${file}.new`, file)
}

/** For every registry of the directory: an earlier start may have had others. */
async function restoreAll(): Promise<void> {
  for (const registry of await readdir(DIRECTORY)) {
    const present = await read(fileOf(registry))
    const ours = present?.startsWith(mark) ?? false
    const kept = await read(keptOf(registry))
    if (kept === undefined && !ours) continue
    if (present !== undefined && !ours)
      await rm(keptOf(registry)) // somebody else wrote a newer one
    else if (kept !== undefined) await rename(keptOf(registry), fileOf(registry))
    else await rm(fileOf(registry))
    await rmdir(join(DIRECTORY, registry)).catch(() => {}) // holds something else
  }
}

/** `undefined` where there is none. */
async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

const log = (msg: string) =>
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), mirror, msg })}\n`)

const ending = new AbortController()
process.once('SIGTERM', () => ending.abort())
process.once('SIGINT', () => ending.abort())

let failures = 0
let state = ''
while (!ending.signal.aborted) {
  failures = (await answers()) ? 0 : failures + 1
  if (failures === 0) await Promise.all(REGISTRIES.split(',').map(configure))
  else if (failures >= patience) await restoreAll()
  const now = failures === 0 ? 'in use' : failures >= patience ? 'given up, it does not answer' : state
  if (now !== state) log(now)
  state = now
  await pause(Number(INTERVAL_MS), undefined, { signal: ending.signal }).catch(() => {})
}
await restoreAll()
log('given back')
