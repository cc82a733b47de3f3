import type { Finding } from '../finding.ts'
import { readSlowly } from '../load/slow-readers.ts'
import { peakMemoryOf } from '../processes.ts'
import { sizes } from '../scale.ts'
import type { Measure } from './measure.ts'

const mebibyte = 1024 * 1024
const readers = 100

/** The peak of a process that did nothing else: a cold gigabyte, filled as fast as upstream gives it, read slowly. */
export const memory: Measure = {
  id: 'memory',
  run: async (lab): Promise<Finding[]> => {
    await using cistern = await lab.startCistern('cistern-memory')
    const idle = await peakMemoryOf(cistern.pid)
    const path = await lab.addBlob('slow', sizes.huge)
    await lab.settle()
    const seconds = lab.scale.slowReaderSeconds
    const task = { url: cistern.url, path, connections: readers, bytesPerSecond: mebibyte, seconds }
    const received = await readSlowly(task)
    const peak = await peakMemoryOf(cistern.pid)
    const [least, most] = [Math.min(...received), Math.max(...received)].map((bytes) => Math.round(bytes / mebibyte))
    return [
      {
        id: 'memory',
        title: `resident memory, ${readers} slow readers of a cold 1 GiB blob, peak`,
        unit: 'MiB',
        ours: [peak / mebibyte],
        target: { direction: 'at most', must: 256, aim: 160 },
        notes: [
          `at the start ${Math.round(idle / mebibyte)} MiB; 1 MiB/s each for ${seconds} s: ${least} to ${most} MiB received`,
        ],
      },
    ]
  },
}
