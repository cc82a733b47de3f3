import type { Homes } from '../config/homes.ts'
import type { Mirror } from './mirrors.ts'

/** An instance as its clients reach it. */
export type Endpoint = {
  /** An origin. */
  readonly url: string
  /** With its port, where that is not the scheme's own. */
  readonly host: string
  readonly isPlain: boolean
  readonly isLoopback: boolean
  /** Certificates in PEM that clients are to trust for it. */
  readonly ca?: SourceFile
  /** What clients show of themselves, in PEM. */
  readonly identity?: { readonly certificate: SourceFile; readonly key: SourceFile }
}

/** A file of the user's, and what it holds. */
export type SourceFile = { readonly path: string; readonly text: string }

/** What a client is to know. */
export type Setup = {
  readonly endpoint: Endpoint
  readonly mirrors: readonly Mirror[]
  /** Whether it may go to a registry itself where the instance does not answer. */
  readonly fallsBack: boolean
  /** Whether nobody pulls without a login. */
  readonly needsLogin: boolean
  /** Whether names without a registry lead to Docker Hub. */
  readonly servesHubByDefault: boolean
  /** Of whom the set-up is; absent for that of the whole machine. */
  readonly user?: Homes
}

/** A file that a client reads. */
export type ClientFile = {
  /** Absolute. */
  readonly path: string
  /**
   * What it is to hold in the place of `present`, which is `undefined` where there is no such file. Throws where
   * `present` cannot be understood, or contradicts the set-up: nothing is written then.
   */
  readonly content: (present: string | undefined) => string
  /** Whether what the file holds already stays in it. */
  readonly merges?: true
  /** The user's file that it is a copy of. */
  readonly copyOf?: string
  /** Whether it holds a secret, and nobody else may read it. */
  readonly isSecret?: true
}

export type Recipe = {
  /** What can be put in place on this machine. */
  readonly files: readonly ClientFile[]
  /** What is handed to the client elsewhere, such as documents for another machine. */
  readonly document?: string
  /** Commands that come after the files, and after those are read again. */
  readonly run: readonly string[]
  /** What else there is to know, a sentence or a snippet each. */
  readonly notes: readonly string[]
}

/** A program that pulls images. */
export type Client = {
  /** Identifies it, also for what was written. */
  readonly name: string
  /** Programs that read the same files. */
  readonly aliases: readonly string[]
  /** Whether there can be a set-up of one user, or only such. */
  readonly perUser: 'never' | 'possibly' | 'always'
  /** The command that has it read its files again, where it does not by itself. */
  readonly reload?: (ofUser: boolean) => string
  readonly recipe: (setup: Setup) => Recipe
}

/** A string of TOML, and of JSON. */
export const quoted = (text: string): string => JSON.stringify(text)

/** The name that images of a registry have at an instance, up to their repository. */
export const nameHere = ({ host }: Endpoint, { prefix }: Mirror): string => (prefix === '' ? host : `${host}/${prefix}`)

/** A file that holds what we say, whatever it held before. */
export const ownFile = (path: string, text: string): ClientFile => ({ path, content: () => text })

/** The first line of files of our own. */
export const mark = (client: string): string => `# By cistern client-config ${client}\n`
