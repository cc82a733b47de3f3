import { readdir, readFile } from 'node:fs/promises'

/** What one process has used, from outside. */
type Usage = { parent: number; cpuSeconds: number }

/** Linux counts in hundredths of a second for whoever asks, whatever the kernel's own clock is. */
const ticksPerSecond = 100

/** Of a process and all below it, in seconds of user and system time. Those that have ended do not count. */
export async function cpuSecondsOf(root: number): Promise<number> {
  const usages = await allUsages()
  return treeOf(root, usages).reduce((sum, pid) => sum + (usages.get(pid)?.cpuSeconds ?? 0), 0)
}

/** By the direct children of a process: how many bytes each has read so far, from sockets and all else. */
export async function bytesReadByChildren(root: number): Promise<Map<number, number>> {
  const children = childrenOf(root, await allUsages())
  return new Map(await Promise.all(children.map(async (pid) => [pid, await bytesReadBy(pid)] as const)))
}

/** https://man7.org/linux/man-pages/man5/proc_pid_io.5.html */
async function bytesReadBy(pid: number): Promise<number> {
  return Number(/^rchar: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1])
}

/** The most memory that a process has ever had resident, in bytes. */
export async function peakMemoryOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

/** What a processor has done since it was switched on, in seconds. */
export type ProcessorTimes = { idle: number; worked: number; all: number }

export async function processorTimes(processor: string): Promise<ProcessorTimes> {
  return parseProcessor(await readFile('/proc/stat', 'utf8'), processor)
}

/**
 * Interrupts and what the host of a virtual machine took are in `all` only: they belong to no process.
 *
 * https://man7.org/linux/man-pages/man5/proc_stat.5.html
 */
export function parseProcessor(stat: string, processor: string): ProcessorTimes {
  const line = new RegExp(`^cpu${processor} (.*)$`, 'm').exec(stat)?.[1]
  if (line === undefined) throw new Error(`there is no processor ${processor}`)
  const seconds = line
    .split(' ')
    .slice(0, 8)
    .map((ticks) => Number(ticks) / ticksPerSecond)
  const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0] = seconds
  return { idle: idle + waiting, worked: user + nice + system, all: seconds.reduce((sum, part) => sum + part, 0) }
}

async function allUsages(): Promise<Map<number, Usage>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const usages = await Promise.all(pids.map(async (pid) => [pid, await usageOf(pid)] as const))
  return new Map(usages.filter((entry): entry is [number, Usage] => entry[1] !== undefined))
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
async function usageOf(pid: number): Promise<Usage | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return stat === undefined ? undefined : parseStat(stat)
}

/** The name in the second field may hold blanks and brackets. */
export function parseStat(stat: string): Usage {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { parent: Number(fields[1]), cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond }
}

function treeOf(root: number, usages: ReadonlyMap<number, Usage>): number[] {
  return [root, ...childrenOf(root, usages).flatMap((child) => treeOf(child, usages))]
}

const childrenOf = (root: number, usages: ReadonlyMap<number, Usage>): number[] =>
  [...usages].filter(([, { parent }]) => parent === root).map(([pid]) => pid)
