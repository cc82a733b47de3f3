import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { fetchBytes } from '../support/http.ts'

const rules = [{ prefix: 'a', upstream: 'http://127.0.0.1:9' }]
const socketOf = (cistern: CisternProcess) => join(cistern.dataDir, 'cistern.sock')

/** Whether the running process itself went through its store. */
async function hasScrubbed(cistern: CisternProcess): Promise<boolean> {
  const { bytes } = await fetchBytes(`${cistern.adminUrl}/metrics`)
  return !bytes.toString().includes('\ncistern_scrub_last_run_timestamp_seconds 0\n')
}

describe('the control socket', () => {
  it("is its owner's alone, and goes with the instance", async () => {
    await using cistern = await startCistern({ rules })
    const stats = await stat(socketOf(cistern))
    expect([stats.isSocket(), stats.mode & 0o777]).toEqual([true, 0o600])
    expect(await readdir(cistern.dataDir)).not.toContain('.sock')
    await cistern.stop()
    expect(existsSync(socketOf(cistern))).toBe(false)
  })

  it('is what no TCP port leads to', async () => {
    await using cistern = await startCistern({ rules })
    for (const url of [cistern.url, cistern.adminUrl]) {
      const { status } = await fetch(`${url}/scrub`, { method: 'POST' })
      expect([404, 405]).toContain(status)
    }
    expect(await hasScrubbed(cistern)).toBe(false)
    expect((await command(cistern, 'scrub')).status).toBe(0)
    expect(await hasScrubbed(cistern)).toBe(true)
  })

  it("left behind by a dead instance, is in nobody's way", async () => {
    await using cistern = await startCistern({ rules })
    await cistern.kill()
    expect(existsSync(socketOf(cistern))).toBe(true)
    expect(await command(cistern, 'scrub')).toMatchObject({ status: 0, stderr: '' })
    await cistern.restart()
    expect((await command(cistern, 'scrub')).status).toBe(0)
    expect(await hasScrubbed(cistern)).toBe(true)
  })

  it('with too long a name, is missing, and nothing else is', async () => {
    const dataDir = `data-${'x'.repeat(100)}`
    await using cistern = await startCistern({ rules, config: { dataDir, workers: 1 } })
    expect((await fetchBytes(`${cistern.adminUrl}/readyz`)).status).toBe(200)
    expect(cistern.logs.join('\n')).toContain('too long for a socket')
    const { status, stderr } = await command(cistern, 'scrub')
    expect([status, stderr]).toEqual([1, expect.stringContaining('is in use by another Cistern')])
  })
})

describe('an instance that goes away', () => {
  it.each([
    ['without an answer', undefined, 'did not answer (ECONNRESET)'],
    [
      'in the middle of a line',
      `${JSON.stringify({ repository: 'a/b', images: 1, bytes: 5 })}\n{"repository`,
      'broke off',
    ],
    ['between two lines', `${JSON.stringify({ repository: 'a/b', images: 1, bytes: 5 })}\n`, 'broke off'],
  ])('%s is told apart from one that said all', async (_, part, message) => {
    await using cistern = await startCistern({ rules })
    await cistern.stop()
    await using _dying = await listening(socketOf(cistern), (response) => {
      if (part !== undefined) response.write(part, () => response.destroy())
      else response.destroy()
    })
    for (const args of [['ls'], ['ls', '--json'], ['stats']]) {
      const { status, stderr } = await command(cistern, args[0] ?? '', ...args.slice(1))
      expect([status, stderr]).toEqual([1, expect.stringContaining(message)])
    }
    expect((await command(cistern, 'ls')).stdout).toBe('')
  })
})

async function listening(path: string, answer: (response: ServerResponse) => void): Promise<AsyncDisposable> {
  const server = createServer((_, response) => answer(response)).listen(path)
  await once(server, 'listening')
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) }
}

describe('cistern scrub', () => {
  it('makes no cache where there is none', async () => {
    await using cistern = await startCistern({ rules })
    const nowhere = join(cistern.directory, 'nowhere')
    const { status, stderr } = await command(cistern, 'scrub', '--data-dir', nowhere)
    expect([status, stderr]).toEqual([1, `cistern: there is no cache in ${nowhere}\n`])
    expect(existsSync(nowhere)).toBe(false)
  })

  it('takes unknown flags for wrong usage', async () => {
    await using cistern = await startCistern({ rules })
    expect((await command(cistern, 'scrub', '--jsno')).status).toBe(2)
  })
})
