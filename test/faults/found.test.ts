import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { blobOf } from '../support/faulty-upstream.ts'
import { digestOfBytes } from './client.ts'
import { Ground, ruleTo, shortPatience } from './ground.ts'

/** An upstream that answers as no registry does. */
async function startOddity(answer: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

it.each(['GET', 'HEAD'])('A5: %s: interim answers without end: 504', async (method) => {
  await using oddity = await startOddity((_, response) => {
    const again = setInterval(() => response.writeProcessing(), 20)
    response.on('close', () => clearInterval(again)).on('error', () => {})
  })
  await using ground = await Ground.start({ rules: [ruleTo('odd.test', oddity.url)], timeouts: shortPatience })
  const signal = AbortSignal.timeout(10_000)
  const at = ground.at('odd.test')
  const answers = await Promise.all([
    at.blob('team/app', blobOf('any').digest, { method, signal }),
    at.manifest('team/app', 'v1', { method, signal }),
  ])
  expect(answers.map(({ status }) => status)).toEqual([504, 504])
})

it('A5: more questions than there are connections to one that says nothing: nobody waits for others first', async () => {
  await using ground = await Ground.start({ sites: 1, timeouts: shortPatience })
  const site = ground.site()
  site.upstream.fault('*', { hang: true })
  const signal = AbortSignal.timeout(6000)
  const questions = Array.from({ length: 500 }, (_, n) => site.blob('team/app', blobOf(`${n}`).digest, { signal }))
  const answers = await Promise.all(questions)
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([429, 504]))
})

it('A13: a part of what was asked for whole is not taken for it', async () => {
  const blob = blobOf('the whole of it')
  await using oddity = await startOddity((request, response) => {
    const part = { 'content-length': 3, 'content-range': `bytes 0-2/${blob.size}` }
    if (request.method === 'HEAD') response.writeHead(206, part).end()
    else response.writeHead(200, { 'content-length': blob.size }).end(blob.bytes())
  })
  await using ground = await Ground.start({ rules: [ruleTo('odd.test', oddity.url)] })
  const at = ground.at('odd.test')
  expect(await at.blob('team/app', blob.digest, { method: 'HEAD' })).toMatchObject({ status: 502 })
  expect(digestOfBytes((await at.blob('team/app', blob.digest)).body)).toBe(blob.digest)
})

it('B45: many lists at once: few are gathered at a time, and all are answered', async () => {
  let underWay = 0
  let most = 0
  await using oddity = await startOddity(async (_, response) => {
    most = Math.max(most, ++underWay)
    await delay(20)
    underWay--
    response.end(JSON.stringify({ tags: ['v1'] }))
  })
  await using ground = await Ground.start({ rules: [ruleTo('odd.test', oddity.url)] })
  const questions = Array.from({ length: 40 }, (_, n) => ground.at('odd.test').get(`team/app${n}/tags/list`))
  const answers = await Promise.all(questions)
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  expect(most).toBeLessThanOrEqual(4)
})

it('B45: more tags than any repository has: 502, before memory is full of them', async () => {
  let page = 0
  await using oddity = await startOddity((_, response) => {
    const tags = Array.from({ length: 300_000 }, (_, n) => `${page}-${n}`)
    page++
    response.setHeader('Link', `</v2/team/app/tags/list?page=${page}>; rel="next"`)
    response.end(JSON.stringify({ tags }))
  })
  await using ground = await Ground.start({ rules: [ruleTo('odd.test', oddity.url)] })
  expect(await ground.at('odd.test').get('team/app/tags/list')).toMatchObject({ status: 502 })
  expect(page).toBe(2)
})
