import type { Digest } from '../../oci/digest.ts'
import type { Deletion } from '../../repositories/deletion.ts'
import type { Images } from '../../repositories/images.ts'
import { ImageFailure, type ImageId, imageIds, toldFailure } from './image-ids.ts'
import { imageOf } from './images.ts'
import { inRepository, type OnRepositoryOptions, onRepository } from './on-repository.ts'
import type { OperationsByName } from './operation.ts'

export type ImageDeletionOptions = OnRepositoryOptions & { images: Images; deletion: Deletion }

/** An image of which tags are to go, or all of it. */
type Going = { tags: readonly string[]; untagged: Set<string>; asked: ImageId[]; whole: boolean }

/** What goes is gone from the cache: the next pull fetches it again. */
export function imageDeletionOperations(options: ImageDeletionOptions): OperationsByName {
  const { images, deletion } = options
  return new Map([
    [
      'BatchDeleteImage',
      onRepository(options, {
        action: 'ecr:BatchDeleteImage',
        held: true,
        input: inRepository.extend({ imageIds }),
        run: async ({ imageIds }, { repository }) => {
          const failures: object[] = []
          const going = new Map<Digest, Going>()
          for (const id of imageIds) {
            try {
              await note(going, id, images, repository)
            } catch (error) {
              if (!(error instanceof ImageFailure)) throw error
              failures.push(toldFailure(id, error))
            }
          }
          const whole = [...going].filter(([, { whole }]) => whole).map(([digest]) => digest)
          const { referenced } = await deletion.images(repository, whole)
          const deleted: { imageDigest: Digest; imageTag?: string }[] = []
          for (const [imageDigest, { tags, untagged, asked, whole }] of going) {
            if (referenced.includes(imageDigest)) {
              failures.push(...asked.map((id) => toldFailure(id, isReferenced())))
              continue
            }
            if (!whole) await deletion.untag(repository, untagged)
            const gone = whole ? tags : [...untagged]
            deleted.push(...gone.map((imageTag) => ({ imageDigest, imageTag })))
            if (gone.length === 0) deleted.push({ imageDigest })
          }
          return { imageIds: deleted, failures }
        },
      }),
    ],
  ])
}

/** By its digest an image goes as a whole, and with its last tag. Throws `ImageFailure`. */
async function note(going: Map<Digest, Going>, id: ImageId, images: Images, repository: string): Promise<void> {
  const { digest } = await imageOf(images, repository, id)
  const tags = going.get(digest)?.tags ?? (await images.tagsOf(repository, digest))
  const noted = going.get(digest) ?? { tags, untagged: new Set(), asked: [], whole: false }
  going.set(digest, noted)
  noted.asked.push(id)
  if (id.imageTag !== undefined) noted.untagged.add(id.imageTag)
  noted.whole ||= id.imageTag === undefined || tags.every((tag) => noted.untagged.has(tag))
}

const isReferenced = () =>
  new ImageFailure('ImageReferencedByManifestList', 'Requested image referenced by manifest list')
