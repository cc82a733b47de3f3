import { documentsIn, isRecord } from './yaml.ts'

/** Where containers stand, in whichever kind of object. */
const containers = new Set(['containers', 'initContainers', 'ephemeralContainers'])

/** Whether a text is Kubernetes manifests rather than a list. */
export const areManifests = (text: string): boolean => /^\s*(?:- )?["']?(?:apiVersion|kind)["']?\s*:/m.test(text)

/**
 * The images of Kubernetes manifests in YAML or JSON, each once: of containers of every sort, and of volumes, however
 * deep the template of the pod lies. Throws `invalid` for what cannot be parsed.
 */
export function imagesInManifests(text: string): string[] {
  const images = new Set<string>()
  for (const document of documentsIn(text, 'these are no Kubernetes manifests')) collect(document, images)
  return [...images]
}

function collect(value: unknown, images: Set<string>): void {
  if (Array.isArray(value)) {
    for (const entry of value) collect(entry, images)
    return
  }
  if (!isRecord(value)) return
  for (const [key, member] of Object.entries(value)) {
    for (const entry of Array.isArray(member) ? member : []) {
      if (containers.has(key)) add(entry, 'image', images)
      if (key === 'volumes' && isRecord(entry)) add(entry.image, 'reference', images)
    }
    collect(member, images)
  }
}

function add(holder: unknown, key: string, images: Set<string>): void {
  const image = isRecord(holder) ? holder[key] : undefined
  if (typeof image === 'string' && image !== '') images.add(image)
}
