import type { Stats } from 'node:fs'
import * as node from 'node:fs/promises'

/** A file held open by one owner, who closes it. */
export interface OpenFile extends AsyncDisposable {
  read(target: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
  write(source: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>
  stat(): Promise<Stats>
  /** Resolves once what was written, or for a directory its names, would survive a power cut. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** What the disk store asks of a file system. Each call does and throws what its namesake in `node:fs/promises` does. */
export interface FileSystem {
  open(path: string, flags: string | number, mode?: number): Promise<OpenFile>
  lstat(path: string): Promise<Stats>
  lutimes(path: string, accessedAt: number, modifiedAt: number): Promise<void>
  mkdir(path: string, options: { recursive: true }): Promise<string | undefined>
  readdir(path: string): Promise<string[]>
  rename(from: string, to: string): Promise<void>
  rm(path: string, options: { recursive?: boolean; force: boolean }): Promise<void>
  unlink(path: string): Promise<void>
}

export const nodeFileSystem: FileSystem = node

export const isCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))
