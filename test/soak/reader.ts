import { ask, digestOfBytes, type Got } from '../faults/client.ts'
import type { Content } from './content.ts'
import { repository } from './content.ts'
import type { Dice } from './dice.ts'

/** What clients saw. A violation is a complete answer that is not right. */
export type History = { answers: number; right: number; broken: number; refused: number; violations: string[] }

export const newHistory = (): History => ({ answers: 0, right: 0, broken: 0, refused: 0, violations: [] })

/** Asks for something by chance, in full or in part, and writes what came of it into the history. */
export async function readOne(url: string, content: Content, dice: Dice, history: History): Promise<void> {
  const base = `${url}/v2/soak.test/${repository}`
  const kind = dice.pick(['blob', 'blob', 'blob', 'range', 'tag', 'manifest'])
  if (kind === 'tag') return readTag(base, content, dice, history)
  if (kind === 'range') return readRange(base, content, dice, history)
  const digest = dice.pick(kind === 'blob' ? content.blobs.keys() : content.manifests.keys())
  const got = await ask(`${base}/${kind === 'blob' ? 'blobs' : 'manifests'}/${digest}`).catch(() => undefined)
  judge(history, got, 200, `${kind} ${digest}`, ({ body }) => digestOfBytes(body) === digest)
}

async function readTag(base: string, content: Content, dice: Dice, history: History): Promise<void> {
  const tag = dice.pick(content.tags.keys())
  const got = await ask(`${base}/manifests/${tag}`).catch(() => undefined)
  judge(history, got, 200, `tag ${tag}`, ({ body, headers }) => {
    const digest = digestOfBytes(body)
    return content.tags.get(tag)?.has(digest) === true && headers['docker-content-digest'] === digest
  })
}

async function readRange(base: string, content: Content, dice: Dice, history: History): Promise<void> {
  const blob = dice.pick(content.blobs.values())
  const start = dice.below(blob.size)
  const end = Math.min(blob.size - 1, start + dice.below(blob.size))
  const headers = { range: `bytes=${start}-${end}` }
  const got = await ask(`${base}/blobs/${blob.digest}`, { headers }).catch(() => undefined)
  judge(history, got, 206, `range of ${blob.digest}`, ({ body }) => body.equals(blob.slice(start, end + 1)))
}

function judge(
  history: History,
  got: Got | undefined,
  status: number,
  what: string,
  isRight: (got: Got) => boolean,
): void {
  history.answers++
  if (!got?.complete) history.broken++
  else if (got.status !== status) history.refused++
  else if (isRight(got)) history.right++
  else history.violations.push(`a complete answer was wrong: ${what}`)
  if (got?.complete && got.status >= 500 && !got.body.includes('UNAVAILABLE')) {
    history.violations.push(`${got.status} in another form: ${what}`)
  }
}
