import { expect, it } from 'vitest'
import { startCistern } from '../support/cistern.ts'
import { makeImage } from '../support/images.ts'
import { pushImage } from '../support/push.ts'
import { withTools } from '../support/with-tools.ts'
import { startOlareg } from './olareg.ts'
import { startSplitter } from './splitter.ts'
import { runSuite } from './suite.ts'

const prefix = 'up.example'
const alwaysAsk = { tagTtl: '0', negativeTtl: '0' }

withTools('conformance', 'olareg')('OCI distribution conformance, under a prefix', () => {
  it('pulls', async () => {
    await using olareg = await startOlareg()
    await using cistern = await startCistern({ rules: [{ prefix, upstream: olareg.url }] })
    const image = makeImage({ seed: 'conformance', layers: 1 })
    await pushImage({ url: olareg.url }, 'library/image', 'v1', image)

    const result = await runSuite(cistern.url, `${prefix}/library/image`, {
      OCI_TEST_PULL: '1',
      OCI_MANIFEST_DIGEST: image.digest,
      OCI_BLOB_DIGEST: image.blobs[0]?.digest ?? '',
      OCI_TAG_NAME: 'v1',
    })

    expect(result).toMatchObject({ failed: 0, passed: 14 })
  })

  it('pulls, and discovers what is pushed upstream meanwhile', async () => {
    await using olareg = await startOlareg()
    await using cistern = await startCistern({ rules: [{ prefix, upstream: olareg.url, ...alwaysAsk }] })
    await using registry = await startSplitter({ reads: cistern.url, writes: olareg.url, prefix })

    const result = await runSuite(registry.url, `${prefix}/conformance/whole`, {
      OCI_TEST_PULL: '1',
      OCI_TEST_PUSH: '1',
      OCI_TEST_CONTENT_DISCOVERY: '1',
    })

    expect(result).toMatchObject({ failed: 0, passed: 64 })
  })
})
