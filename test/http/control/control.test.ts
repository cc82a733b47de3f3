import { existsSync } from 'node:fs'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { AccessKeyError } from '../../../src/access/access-key.ts'
import { type ControlOptions, controlApp } from '../../../src/http/control/app.ts'
import { listenOnSocket } from '../../../src/http/control/socket.ts'
import { corrupt, nameUnknown } from '../../../src/oci/errors.ts'
import type { Body } from '../../../src/oci/registry.ts'
import { temporaryFolder } from '../../support/folder.ts'

const path = () => join(temporaryFolder('control'), 'cistern.sock')

const noKeys = async () => Promise.reject(new AccessKeyError(['there are no keys']))
const keys: ControlOptions['keys'] = { create: noKeys, list: () => [], revoke: noKeys }
const nowhere = async () => Promise.reject(nameUnknown('nowhere'))
const cache: ControlOptions['cache'] = {
  explain: async (reference, ask) => ({ reference, ask }),
  refresh: nowhere,
  stats: nowhere,
  purge: nowhere,
  rules: () => ({ rules: [] }),
  async *images() {
    yield { n: 1 }
    throw corrupt('the disk broke')
  },
  repositories: () => {
    throw nameUnknown('nowhere')
  },
}
const transfers: ControlOptions['transfers'] = {
  export: nowhere,
  import: nowhere,
  warm: () => {
    throw nameUnknown('nowhere')
  },
}
const report = async () => ({ checked: 1 })

function ask(socketPath: string, target: string, method = 'POST', signal?: AbortSignal, body?: string) {
  const asked = Promise.withResolvers<{ status: number | undefined; body: string }>()
  request({ socketPath, path: target, method, agent: false, ...(signal && { signal }) }, (response) => {
    text(response).then((body) => asked.resolve({ status: response.statusCode, body }), asked.reject)
  })
    .on('error', asked.reject)
    .end(body)
  return asked.promise
}

it('has the store scrubbed, and answers with the report', async () => {
  const asked: number[] = []
  const scrub: ControlOptions['scrub'] = async ({ bytesPerSecond }) => {
    asked.push(bytesPerSecond)
    return report()
  }
  const at = path()
  await using _ = await listenOnSocket(controlApp({ scrub, keys, cache, transfers }), at)
  expect(await ask(at, '/scrub?bytesPerSecond=1048576')).toEqual({ status: 200, body: '{"checked":1}' })
  expect((await ask(at, '/scrub')).status).toBe(200)
  expect(asked).toEqual([1_048_576, 0])
})

it('takes nothing else', async () => {
  const at = path()
  await using _ = await listenOnSocket(controlApp({ scrub: report, keys, cache, transfers }), at)
  expect((await ask(at, '/scrub', 'GET')).status).toBe(404)
  expect((await ask(at, '/metrics')).status).toBe(404)
  for (const value of ['-1', '1e3', 'x', '9'.repeat(16)]) {
    expect((await ask(at, `/scrub?bytesPerSecond=${value}`)).status).toBe(400)
  }
})

it('tells what failed', async () => {
  const at = path()
  const scrub = async () => Promise.reject(corrupt('the disk is broken'))
  await using _ = await listenOnSocket(controlApp({ scrub, keys, cache, transfers }), at)
  const { status, body } = await ask(at, '/scrub')
  expect([status, body]).toEqual([502, expect.stringContaining('the disk is broken')])
  const revoking = await ask(at, '/keys/KEY_ci', 'DELETE')
  expect([revoking.status, revoking.body]).toEqual([400, expect.stringContaining('there are no keys')])
})

it('answers in lines, and breaks off where a later one fails', async () => {
  const at = path()
  await using _ = await listenOnSocket(controlApp({ scrub: report, keys, cache, transfers }), at)
  const asked = await ask(at, `/explain?${new URLSearchParams({ reference: 'a/b:c@d&e', ask: 'true' })}`, 'GET')
  expect(asked).toEqual({ status: 200, body: '{"reference":"a/b:c@d&e","ask":true}' })
  expect((await ask(at, '/repositories?prefix=a', 'GET')).status).toBe(404)
  await expect(ask(at, '/images', 'GET')).rejects.toThrow('socket hang up')
})

it('sends a bundle behind the report on it, and breaks off where it fails', async () => {
  const at = path()
  const disposed: unknown[] = []
  const bundleOf = (fails: boolean): Body => ({
    async sendTo(sink) {
      for (const text of ['tar', 'ball']) await sink.write(Buffer.from(text))
      if (fails) throw corrupt('a blob is damaged')
    },
    [Symbol.asyncDispose]: async () => void disposed.push(fails),
  })
  const exporting: ControlOptions['transfers'] = {
    ...transfers,
    export: async (asked) => {
      const { fails, empty } = asked as { fails?: boolean; empty?: boolean }
      return { report: { asked }, ...(!empty && { bundle: bundleOf(fails ?? false) }) }
    },
  }
  await using _ = await listenOnSocket(controlApp({ scrub: report, keys, cache, transfers: exporting }), at)
  const askFor = (body: string) => ask(at, '/export', 'POST', undefined, body)
  expect(await askFor('{"a":1}')).toEqual({ status: 200, body: '{"asked":{"a":1}}\ntarball' })
  expect(await askFor('{"empty":true}')).toEqual({ status: 200, body: '{"asked":{"empty":true}}\n' })
  await expect(askFor('{"fails":true}')).rejects.toThrow('aborted')
  expect(disposed).toEqual([false, true])
  expect((await askFor('{')).status).toBe(400)
})

it('takes a bundle as it comes, and answers before its end where it is refused', async () => {
  const at = path()
  const importing: ControlOptions['transfers'] = {
    ...transfers,
    import: async (bundle, { repository }) => {
      let bytes = 0
      for await (const chunk of bundle) bytes += chunk.length
      if (repository === 'refused') throw corrupt('the bundle is broken')
      return { repository, bytes }
    },
  }
  const refusing: ControlOptions['transfers'] = {
    ...transfers,
    import: async (bundle) => {
      for await (const _ of bundle) throw corrupt('the bundle is broken')
      return {}
    },
  }
  const body = 'x'.repeat(8_000_000)
  {
    await using _ = await listenOnSocket(controlApp({ scrub: report, keys, cache, transfers: importing }), at)
    const taken = await ask(at, '/import?name=a/b', 'POST', undefined, body)
    expect(taken).toEqual({ status: 200, body: '{"repository":"a/b","bytes":8000000}' })
    expect((await ask(at, '/import?name=refused', 'POST', undefined, body)).status).toBe(502)
  }
  await using _ = await listenOnSocket(controlApp({ scrub: report, keys, cache, transfers: refusing }), at)
  const refused = await ask(at, '/import', 'POST', undefined, body)
  expect([refused.status, refused.body]).toEqual([502, expect.stringContaining('the bundle is broken')])
})

it('ends the work of a command that is gone', async () => {
  const begun = Promise.withResolvers<AbortSignal>()
  const scrub: ControlOptions['scrub'] = ({ signal }) => {
    begun.resolve(signal)
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const at = path()
  await using _ = await listenOnSocket(controlApp({ scrub, keys, cache, transfers }), at)
  const leaving = new AbortController()
  const asked = expect(ask(at, '/scrub', 'POST', leaving.signal)).rejects.toThrow()
  const signal = await begun.promise
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
  leaving.abort()
  await Promise.all([asked, aborted])
})

it("is its owner's alone under any umask, takes the place of what a dead process left, and goes", async () => {
  const at = path()
  await writeFile(at, '', { mode: 0o666 })
  const umask = process.umask(0)
  const socket = await listenOnSocket(controlApp({ scrub: report, keys, cache, transfers }), at).finally(() =>
    process.umask(umask),
  )
  const stats = await stat(at)
  expect([stats.isSocket(), stats.mode & 0o777]).toEqual([true, 0o600])
  expect(await readdir(join(at, '..'))).toEqual(['cistern.sock'])
  await socket[Symbol.asyncDispose]()
  expect(existsSync(at)).toBe(false)
})

it('refuses a path that a system would cut off', async () => {
  const at = join(tmpdir(), 'x'.repeat(100))
  await expect(listenOnSocket(controlApp({ scrub: report, keys, cache, transfers }), at)).rejects.toThrow(
    'is too long for a socket',
  )
})
