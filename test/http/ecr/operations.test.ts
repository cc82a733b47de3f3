import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as sdk from '@aws-sdk/client-ecr'
import { expect, it } from 'vitest'
import { ecrOperations } from '../../../src/http/ecr/operations.ts'
import { tableOf } from '../../support/ecr-table.ts'
import { root } from '../../support/paths.ts'

it('are those of Amazon ECR, but for its replication backfills', () => {
  const commands = Object.keys(sdk).filter((name) => name.endsWith('Command') && name !== '$Command')
  const names = commands.map((name) => name.slice(0, -'Command'.length)).filter((name) => !name.includes('Backfill'))

  expect([...ecrOperations.keys()].sort()).toEqual(names.sort())
})

it('stand in docs/ecr-api.md', () => {
  expect(readFileSync(join(root, 'docs', 'ecr-api.md'), 'utf8')).toContain(`\n\n${tableOf()}`)
})
