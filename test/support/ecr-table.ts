import { ecrOperations } from '../../src/http/ecr/operations.ts'

/** The table of operations in `docs/ecr-api.md`, as it should stand there. */
export function tableOf(): string {
  const shown = { yes: 'yes', stored: 'stored only', later: 'later', no: 'no' }
  const rows = [...ecrOperations]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { support, reason }]) => `| ${name} | ${shown[support]} | ${reason} |`.replace('|  |', '| |'))
  return ['| Operation | | |', '| --- | --- | --- |', ...rows, ''].join('\n')
}
