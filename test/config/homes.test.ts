import { homedir } from 'node:os'
import { expect, it } from 'vitest'
import { homesOf } from '../../src/config/homes.ts'

it('the homes of a user are those that the environment names by whole paths, and the usual ones elsewhere', () => {
  const usual = { home: homedir(), config: `${homedir()}/.config`, state: `${homedir()}/.local/state` }
  expect(homesOf({})).toEqual(usual)
  expect(homesOf({ XDG_CONFIG_HOME: '', XDG_STATE_HOME: 'state' })).toEqual(usual)
  expect(homesOf({ XDG_CONFIG_HOME: '/c', XDG_STATE_HOME: '/s' })).toEqual({ ...usual, config: '/c', state: '/s' })
})
