import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Environment } from './sources.ts'

/** Where the files of one user are. Absolute paths. */
export type Homes = {
  readonly home: string
  /** As `$XDG_CONFIG_HOME`. */
  readonly config: string
  /** As `$XDG_STATE_HOME`. */
  readonly state: string
}

/** https://specifications.freedesktop.org/basedir-spec/latest/: a path that is not absolute is ignored. */
export function homesOf(env: Environment = process.env): Homes {
  const home = homedir()
  const given = (path: string | undefined, otherwise: string) =>
    path && isAbsolute(path) ? path : join(home, otherwise)
  return { home, config: given(env.XDG_CONFIG_HOME, '.config'), state: given(env.XDG_STATE_HOME, '.local/state') }
}
