import { describe, expect, it } from 'vitest'
import { adminApp } from '../../src/http/admin/app.ts'
import { listen } from '../../src/http/listen.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'

async function startAdmin(ready = true) {
  const requests: Events['cistern:request'][] = []
  const unsubscribe = subscribe('cistern:request', (event) => requests.push(event))
  const app = adminApp({
    ready: async () => ({ ready, checks: { disk: ready ? 'writable' : 'read-only' } }),
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'cistern_up 1\n' }),
  })
  const listener = await listen(app, { host: '127.0.0.1', port: 0, announce: false })
  return {
    requests,
    get: (path: string, method = 'GET') => fetch(`${listener.url}${path}`, { method }),
    async [Symbol.asyncDispose]() {
      await listener.close(0)
      unsubscribe()
    },
  }
}

describe('the admin port', () => {
  it('tells whether it is ready, and why not', async () => {
    await using able = await startAdmin()
    await using unable = await startAdmin(false)
    expect((await able.get('/readyz')).status).toBe(200)
    const response = await unable.get('/readyz')
    expect([response.status, await response.json()]).toEqual([503, { ready: false, checks: { disk: 'read-only' } }])
    expect((await unable.get('/livez')).status).toBe(200)
    expect((await unable.get('/startupz')).status).toBe(200)
  })

  it('shows metrics and nothing else, unannounced', async () => {
    await using admin = await startAdmin()
    const response = await admin.get('/metrics')
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4')
    expect(await response.text()).toBe('cistern_up 1\n')
    expect((await admin.get('/v2/')).status).toBe(404)
    expect((await admin.get('/metrics', 'POST')).status).toBe(405)
    expect(admin.requests).toEqual([])
  })
})
