import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RegistryError } from '../../src/oci/errors.ts'
import { isIndex, manifestMediaType, mediaTypes } from '../../src/oci/manifest.ts'

const { ociIndex, ociManifest, dockerList, dockerManifest, dockerSchema1, dockerSchema1Signed } = mediaTypes
const bytes = (document: unknown) => Buffer.from(typeof document === 'string' ? document : JSON.stringify(document))
const image = { schemaVersion: 2, config: {}, layers: [] }
const index = { schemaVersion: 2, manifests: [] }

describe('manifestMediaType', () => {
  it.each([
    ['the Content-Type', { ...image }, ociManifest, ociManifest],
    ['without its parameters', { ...image }, `${ociManifest}; charset=utf-8`, ociManifest],
    ['in any case', { ...image }, ociManifest.toUpperCase(), ociManifest],
    ['the body’s, without a header', { ...image, mediaType: dockerManifest }, undefined, dockerManifest],
    ['the body’s, with a generic one', { ...index, mediaType: dockerList }, 'application/json', dockerList],
    ['the body’s, with octet-stream', { ...index, mediaType: ociIndex }, 'application/octet-stream', ociIndex],
    ['the shape of an image', image, 'text/plain', ociManifest],
    ['the shape of an index', index, '', ociIndex],
    ['the shape of schema 1', { fsLayers: [], history: [] }, 'application/json', dockerSchema1],
    ['the shape of signed schema 1', { fsLayers: [], signatures: [] }, 'text/plain', dockerSchema1Signed],
    ['an unknown type, of any shape', { x: 1 }, 'application/vnd.example+json', 'application/vnd.example+json'],
    [
      'with a byte of key __proto__',
      '{"__proto__":{"manifests":[]},"config":{},"layers":[]}',
      ociManifest,
      ociManifest,
    ],
    ['with keys twice', '{"config":1,"config":{},"layers":[]}', ociManifest, ociManifest],
  ])('B35: takes %s', (_, document, contentType, mediaType) => {
    expect(manifestMediaType(bytes(document), contentType)).toBe(mediaType)
  })

  it.each([
    ['a header against the body', { ...image, mediaType: dockerManifest }, ociManifest],
    ['index and image at once', { ...index, ...image }, ociIndex],
    ['index and image at once, of no type', { ...index, layers: [] }, undefined],
    ['index and image at once, of unknown type', { ...index, config: {} }, 'application/vnd.example+json'],
    ['index and schema 1 at once', { ...index, fsLayers: [] }, ociIndex],
    ['an image said to be an index', image, ociIndex],
    ['an index said to be an image', index, dockerManifest],
    ['an index that says it is an image', { ...index, mediaType: ociManifest }, undefined],
    ['an image said to be schema 1', image, dockerSchema1],
    ['an error document', { errors: [] }, 'application/json'],
    ['a web page', '<html></html>', 'text/html'],
    ['a manifest as a web page', image, 'text/html; charset=utf-8'],
    ['no JSON', '{', ociManifest],
    ['nothing', '', ociManifest],
    ['a list', '[]', ociManifest],
    ['a number', '7', 'application/vnd.example+json'],
    ['null', 'null', ociManifest],
  ])('B36: refuses %s', (_, document, contentType) => {
    expect(() => manifestMediaType(bytes(document), contentType)).toThrow(expect.objectContaining({ kind: 'corrupt' }))
  })

  it('B38: refuses bytes that are not UTF-8', () => {
    const bad = Buffer.concat([Buffer.from('{"config":{},"layers":["'), Buffer.from([0xff]), Buffer.from('"]}')])
    expect(() => manifestMediaType(bad, ociManifest)).toThrow(expect.objectContaining({ kind: 'corrupt' }))
  })

  it('B38: survives any depth and any text', () => {
    const deep = `{"config":{},"layers":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    const outcome = (text: string) => {
      try {
        return typeof manifestMediaType(bytes(text), undefined)
      } catch (error) {
        return error instanceof RegistryError ? 'refused' : error
      }
    }
    expect(['string', 'refused']).toContain(outcome(deep))
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => ['string', 'refused'].includes(String(outcome(text)))),
    )
    expect(Object.hasOwn(Object.prototype, 'manifests')).toBe(false)
  })

  it('knows what lists other manifests', () => {
    expect([ociIndex, dockerList, ociManifest, dockerManifest].map(isIndex)).toEqual([true, true, false, false])
  })
})
