import { expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { startFace } from '../../support/face.ts'

it('a manifest that a client was given is a pull, and nothing else is', async () => {
  const noted: string[] = []
  const pullTimes = { note: (repository: string, digest: string) => void noted.push(`${repository} ${digest}`) }
  await using face = await startFace({ pullTimes })
  const repository = 'quay.io/team/app'
  const digest = face.registry.addManifest(repository, 'v1', '{"layers":[]}')
  const blob = face.registry.addBlob(repository, Buffer.from('layer'))
  const path = `/v2/${repository}`
  for (const reference of ['v1', digest]) await face.get(`${path}/manifests/${reference}`, {}, 'HEAD')
  await face.get(`${path}/blobs/${blob}`)
  await face.get(`${path}/tags/list`)
  await face.get(`${path}/manifests/v2`)
  expect(noted).toEqual([])

  for (const reference of ['v1', digest]) await (await face.get(`${path}/manifests/${reference}`)).text()
  const pull = `${repository} ${digest}`
  await eventually(async () => expect(noted).toEqual([pull, pull]))
})
