import { cores } from '../cores.ts'
import type { Finding, Target } from '../finding.ts'
import { acceptManifests, type Lab } from '../lab.ts'
import { load } from '../load/rate.ts'
import { cpuSecondsOf, processorTimes } from '../processes.ts'
import { alternate, type Pairs, pick } from '../rounds.ts'
import { sizes } from '../scale.ts'
import type { Server } from '../servers/server.ts'
import { median } from '../statistics.ts'
import type { Measure } from './measure.ts'

export type Asked = { method: 'GET' | 'HEAD'; path: string; headers?: Record<string, string> }

/** A cache, and what it is asked. */
export type Subject = { server: Server; asked: Asked }

type Rate = {
  /** Requests per second. */
  rate: number
  /** Requests per second of the server's processor. */
  perCpuSecond: number
  /** The part of the time in which the server's processor had nothing to do. */
  idle: number
  /** The part of the time in which it worked for others. */
  foreign: number
}

type RateOptions = {
  id: string
  title: string
  target: Target
  seconds: number
  /** A server that is idle for other reasons than a slow load generator is judged by its rate all the same. */
  alwaysByRate?: boolean
}

const connections = 64

/** A server that idles longer waits for its clients: its rate says nothing about it. */
const idleEnough = 0.1

export async function runLoad(lab: Lab, { server, asked }: Subject, seconds: number): Promise<Rate> {
  await server.forgetRequests()
  const headers = { ...acceptManifests, ...asked.headers }
  const before = { server: await cpuSecondsOf(server.pid), core: await processorTimes(cores.server) }
  const task = { ...asked, headers, url: server.url, connections, seconds }
  const result = await lab.hitting(server, () => load(task, lab.generator))
  const after = { server: await cpuSecondsOf(server.pid), core: await processorTimes(cores.server) }
  const cpuSeconds = after.server - before.server
  const passed = after.core.all - before.core.all
  return {
    rate: result.requests / result.seconds,
    perCpuSecond: result.requests / cpuSeconds,
    idle: (after.core.idle - before.core.idle) / passed,
    foreign: (after.core.worked - before.core.worked - cpuSeconds) / passed,
  }
}

/** Both under load in turn, warm, until it can be said which serves more. */
export async function compareRates(
  lab: Lab,
  ours: Subject,
  peer: Subject,
  { id, title, target, seconds, alwaysByRate = false }: RateOptions,
): Promise<Finding> {
  const subjects = { ours, peer }
  for (const subject of [ours, peer]) {
    await lab.warm(subject.server, subject.asked.path, subject.asked.headers)
    await runLoad(lab, subject, lab.scale.warmUpSeconds)
  }
  await lab.settle()
  const rates = await alternate(lab.scale.rounds, (side) => runLoad(lab, subjects[side], seconds))
  const perCpu = pick(rates, ({ perCpuSecond }) => perCpuSecond)
  const perSecond = pick(rates, ({ rate }) => rate)
  const idle = inPercent(pick(rates, ({ idle }) => idle))
  const isLimited = !alwaysByRate && [...rates.ours, ...rates.peer].some(({ idle }) => idle > idleEnough)
  const judged = isLimited ? perCpu : perSecond
  return {
    id,
    title,
    unit: isLimited ? 'requests/CPU-s' : 'requests/s',
    ours: judged.ours,
    peer: { name: peer.server.name, values: judged.peer },
    target,
    notes: isLimited
      ? [
          `the load generator was the limit (the server's processor idled ${idle}): judged by the work per request`,
          `rates: ${inTurn(perSecond)}`,
        ]
      : [`requests per second of processor: ${inTurn(perCpu)}`],
    foreign: median([...rates.ours, ...rates.peer].map(({ foreign }) => foreign)),
  }
}

const inPercent = ({ ours, peer }: Pairs<number>): string =>
  [ours, peer].map((values) => `${Math.round(median(values) * 100)} %`).join(' and ')

const inTurn = ({ ours, peer }: Pairs<number>): string =>
  [ours, peer].map((values) => Math.round(median(values))).join(', ')

const tagPath = '/v2/bench/image/manifests/v1'

const questions = [
  { kind: 'digest-get', title: 'GET manifest by digest', method: 'GET' as const, path: undefined },
  { kind: 'tag-get', title: 'GET manifest by fresh tag', method: 'GET' as const, path: tagPath },
  { kind: 'tag-head', title: 'HEAD manifest by fresh tag', method: 'HEAD' as const, path: tagPath },
]

const manifests = (peer: 'nginx' | 'distribution', target: Target): Measure[] =>
  questions.map(({ kind, title, method, path }) => {
    const id = peer === 'nginx' ? kind : `${kind}-${peer}`
    return {
      id,
      nullTest: 'null-rate',
      run: async (lab) => {
        const asked = { method, path: path ?? lab.manifestByDigest }
        const slow = peer === 'distribution'
        const seconds = slow ? lab.scale.slowSeconds : lab.scale.seconds
        const options = { id, title, target, seconds, alwaysByRate: slow }
        return [await compareRates(lab, { server: lab.cistern, asked }, { server: lab[peer], asked }, options)]
      },
    }
  })

const smallBlob: Measure = {
  id: 'small-blob',
  nullTest: 'null-rate',
  run: async (lab) => {
    const asked = { method: 'GET' as const, path: await lab.addBlob('small', sizes.small) }
    const target: Target = { direction: 'at least', must: 0.8, aim: 1.1 }
    const options = { id: 'small-blob', title: '10 KB blob, 64 connections', target, seconds: lab.scale.seconds }
    return [await compareRates(lab, { server: lab.cistern, asked }, { server: lab.nginx, asked }, options)]
  },
}

export const rates: Measure[] = [
  ...manifests('nginx', { direction: 'at least', must: 1, aim: 1.2 }),
  ...manifests('distribution', { direction: 'at least', must: 50, aim: 100 }),
  smallBlob,
]
