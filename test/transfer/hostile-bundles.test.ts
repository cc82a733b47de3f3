import { expect, it } from 'vitest'
import { image } from '../support/faulty-upstream.ts'
import { blobEntries, indexEntry, layoutEntry, layoutTar, named } from '../support/layout.ts'
import { type TarEntry, tarOf } from '../support/tar.ts'
import { given } from './given.ts'

const app = image({ seed: 'app', layers: [5000] })
const good = [...blobEntries([app]), indexEntry([named(app, 'hub/app:v1')]), layoutEntry]
const [blob] = blobEntries([app]) as [TarEntry]
const text = (name: string, bytes: string): TarEntry => ({ name, bytes: Buffer.from(bytes) })

/** In front of what would be a good bundle, and behind it. */
const refused: Record<string, [entries: TarEntry[], message: string]> = {
  'a path out of it': [[text('../../etc/passwd', 'x')], '"../../etc/passwd" leads out of it'],
  'a path out of its blobs': [[text('blobs/sha256/../../x', 'x')], 'leads out of it'],
  'an absolute path': [[text('/etc/passwd', 'x')], '"/etc/passwd" leads out of it'],
  'a symbolic link': [[{ name: blob.name, type: '2', linkname: '/etc/passwd' }], 'is no plain file'],
  'a hard link': [[{ name: 'x', type: '1', linkname: blob.name }], 'is no plain file'],
  'a device': [[{ name: 'x', type: '3' }], 'is no plain file'],
  'a pipe': [[{ name: 'x', type: '6' }], 'is no plain file'],
  'a file of unknown kind': [[{ name: 'x', type: 'S' }], 'is no plain file'],
  'a blob that no digest names': [[text('blobs/sha256/abc', 'x')], 'is named by no digest'],
  'a blob of an unknown algorithm': [[text(`blobs/md5/${'0'.repeat(32)}`, 'x')], 'is named by no digest'],
  'a digest in capitals': [[text(`blobs/sha256/${'A'.repeat(64)}`, 'x')], 'is named by no digest'],
  'a name that is too long': [
    [{ ...text('././@LongLink', `${'a/'.repeat(2000)}\0`), type: 'L' }, { name: 'x' }],
    'is too long a name',
  ],
  'another version of layouts': [[text('oci-layout', '{"imageLayoutVersion":"2.0.0"}')], 'of another version than 1'],
  'a garbled version': [[text('oci-layout', '[]')], 'its oci-layout cannot be read'],
}

it.each(Object.entries(refused))('refuses %s, and leaves nothing', async (_, [entries, message]) => {
  for (const bundle of [
    [...entries, ...good.slice(0, -1)],
    [...good.slice(0, -1), ...entries],
  ]) {
    const { take, stored, links, holds } = given()
    await expect(take(tarOf(bundle))).rejects.toThrow(`the bundle is refused: `)
    await expect(take(tarOf(bundle))).rejects.toThrow(message)
    expect([await stored(), await links(), holds.size]).toEqual([[], [], 0])
  }
})

it.each([
  ['twice the same blob', [blob, ...good], 'stands in it twice'],
  ['two indexes', [indexEntry([named(app, 'hub/other:v1')]), ...good], 'index.json stands in it twice'],
  ['two indexes, one behind dots', [...good, { ...indexEntry([]), name: '././index.json' }], 'stands in it twice'],
  ['no index', good.slice(0, -2), 'it is no OCI image layout'],
  ['an index that is not JSON', [...good.slice(0, -2), text('index.json', '{')], 'its index.json is not JSON'],
  ['an index of nothing', [...good.slice(0, -2), text('index.json', '{}')], 'its index.json lists no images'],
  ['an index of numbers', [...good.slice(0, -2), text('index.json', '{"manifests":[1]}')], 'is a JSON object'],
  ['an image without a digest', [...good.slice(0, -2), text('index.json', '{"manifests":[{}]}')], 'without a digest'],
])('refuses %s', async (_, entries, message) => {
  const { take, stored, links } = given()
  await expect(take(tarOf(entries))).rejects.toThrow(message)
  expect([await stored(), await links()]).toEqual([[], []])
})

it.each([
  ['text', Buffer.from('this is no archive, however long it is. '.repeat(100))],
  ['an entry that says that it is longer than the archive', tarOf([{ ...blob, size: 1e9 }])],
  [
    'an entry of eight exabytes',
    sized(tarOf([blob]), Buffer.from([0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255])),
  ],
  ['an entry of negative length', sized(tarOf([blob]), Buffer.alloc(12, 0xff))],
  ['a header that does not add up', Buffer.concat([Buffer.from('x'), tarOf(good).subarray(1)])],
  ['garbage behind the end', Buffer.concat([layoutTar([named(app, 'hub/app:v1')]), Buffer.alloc(512, 'x')])],
  ['half of a compressed one', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])],
  ['a header of gigabytes for one entry', tarOf([{ name: 'x', type: 'x', size: 2 ** 31 }, ...good])],
])('takes nothing of %s', async (_, bytes) => {
  const { take, links } = given()
  await expect(take(bytes)).rejects.toThrow('the bundle is broken')
  expect(await links()).toEqual([])
})

it.each([
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0])],
  ['bzip2', Buffer.from('BZh91AY')],
])('says that it does not read %s', async (name, bytes) => {
  await expect(given().take(bytes)).rejects.toThrow(`it is compressed by ${name}, which is not read here`)
})

it.each([0, 1, 511, 512, 1024])('takes %d bytes of nothing for no layout', async (length) => {
  await expect(given().take(Buffer.alloc(length))).rejects.toThrow('the bundle')
})

/** The same archive with another size in its first header. */
function sized(archive: Buffer, size: Buffer): Buffer {
  const bytes = Buffer.from(archive)
  size.copy(bytes, 124)
  bytes.write('        ', 148)
  const checksum = bytes.subarray(0, 512).reduce((sum, byte) => sum + byte, 0)
  bytes.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148)
  return bytes
}
