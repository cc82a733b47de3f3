import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { bytesReadByChildren, cpuSecondsOf, parseProcessor, parseStat } from '../../bench/processes.ts'

describe('what the kernel says of processes', () => {
  it('is read past names with blanks and brackets', () => {
    const stat = '42 (a) b (c)) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 1000 1 1'

    expect(parseStat(stat)).toEqual({ parent: 7, cpuSeconds: 2 })
  })

  it('tells work of processes from interrupts and from what the host took', () => {
    const stat = 'cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 200 300 400 500 600 700 800 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\n'

    expect(parseProcessor(stat, '0')).toEqual({ worked: 6, idle: 9, all: 36 })
    expect(() => parseProcessor(stat, '7')).toThrow('no processor 7')
  })

  it('is what a process knows of itself', async () => {
    const used = () => process.resourceUsage().userCPUTime / 1e6 + process.resourceUsage().systemCPUTime / 1e6
    const tick = 0.02
    const before = used()
    const seen = await cpuSecondsOf(process.pid)

    expect(seen).toBeGreaterThan(before - tick)
    expect(seen).toBeLessThan(used() + tick)
  })

  it('tells how many bytes each child of a process has read', async () => {
    const child = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] })
    const readBy = async () => (await bytesReadByChildren(process.pid)).get(child.pid ?? 0) ?? Number.NaN
    const echoed = once(child.stdout, 'data')
    child.stdin.write('x')
    await echoed // it is at its work: what it read to start is read
    const before = await readBy()
    const echoedAgain = once(child.stdout, 'data')
    child.stdin.write('y'.repeat(1000))
    await echoedAgain
    const after = await readBy()
    child.kill()
    await once(child, 'close')

    expect(after - before).toBe(1000)
  })
})
