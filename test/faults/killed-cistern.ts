import { openInstance } from '../../src/commands/instance.ts'
import { loadConfig } from '../../src/config.ts'
import { type Operation, watched } from '../support/fault-file-system.ts'

/*
 * A Cistern that kills itself, as a power supply would, at one step of its write protocol:
 *
 *     node killed-cistern.ts <configuration> <before|after> <kind of operation> <number>
 *
 * It prints where it listens.
 */
const [file = '', moment = '', kind = '', number = '1'] = process.argv.slice(2)

let left = Number(number)
const meet = (operation: Operation) => {
  if (operation.kind !== kind || !/\/v1\/(?:blobs|ingest)\//.test(operation.path)) return
  if (--left === 0) process.kill(process.pid, 'SIGKILL')
}

const hooks = moment === 'before' ? { before: meet } : { after: meet }
const { url } = await openInstance(loadConfig(['--config', file], {}), { fileSystem: watched(hooks) })
process.stdout.write(`${url}\n`)
