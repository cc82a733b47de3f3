import { type FileHandle, mkdtemp, open, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetchDigest } from '../test/support/http.ts'
import { run } from '../test/support/process.ts'
import { blobPath, manifestPath, pushNoise, pushSmallImage } from './content.ts'
import type { Cores } from './cores.ts'
import type { Generator } from './load/rate.ts'
import type { Scale } from './scale.ts'
import { type CisternOptions, type CisternServer, prepareCistern, startCistern } from './servers/cistern.ts'
import { startNginx } from './servers/nginx.ts'
import { startDistribution, Upstream } from './servers/registry.ts'
import type { Server } from './servers/server.ts'

export type LabOptions = {
  scale: Scale
  generator: Generator
  /** Where profiles of every Cistern go; absent, none are taken. */
  profileDirectory?: string
}

const mebibyte = 1024 * 1024

/** https://man7.org/linux/man-pages/man2/statfs.2.html */
const tmpfsMagic = 0x01021994

/** An upstream with content, and the three caches of it, idle until a measure asks them. Its owner disposes it. */
export class Lab implements AsyncDisposable {
  readonly scale: Scale
  readonly generator: Generator
  readonly directory: string
  readonly upstream: Upstream
  readonly cistern: Server
  readonly nginx: Server
  readonly distribution: Server
  /** Of the manifest that the tag `v1` points to. */
  readonly manifest: string
  readonly #options: LabOptions
  readonly #resources: AsyncDisposableStack

  private constructor(options: LabOptions, resources: AsyncDisposableStack, parts: Parts) {
    this.scale = options.scale
    this.generator = options.generator
    this.#options = options
    this.#resources = resources
    this.directory = parts.directory
    this.upstream = parts.upstream
    this.cistern = parts.cistern
    this.nginx = parts.nginx
    this.distribution = parts.distribution
    this.manifest = parts.manifest
  }

  static async open(options: LabOptions): Promise<Lab> {
    await using opening = new AsyncDisposableStack()
    const directory = opening.adopt(await directoryOnDisk(options.scale), (path) =>
      rm(path, { recursive: true, force: true }),
    )
    const upstream = opening.use(await Upstream.start(directory))
    const manifest = await pushSmallImage(upstream.url)
    const { profileDirectory } = options
    const cistern = { name: 'cistern', upstream: upstream.url, profileDirectory }
    const parts = {
      directory,
      upstream,
      manifest,
      cistern: opening.use(await startCistern(directory, cistern)),
      nginx: opening.use(await startNginx(directory, upstream.url)),
      distribution: opening.use(await startDistribution(directory, upstream.url)),
    }
    return new Lab(options, opening.move(), parts)
  }

  /** Another Cistern of the same upstream. Its owner disposes it; where that does not happen, the end of the lab does. */
  async startCistern(name: string, options: { config?: Record<string, unknown>; on?: Cores } = {}): Promise<Server> {
    const server = await startCistern(this.directory, this.#cisternOptions(name, options))
    return this.#resources.use(server)
  }

  /** The configuration of another Cistern that is not started yet. */
  prepareCistern(name: string): Promise<CisternServer> {
    return prepareCistern(this.directory, this.#cisternOptions(name, {}))
  }

  /** Pushes a blob of noise upstream, which leaves it in upstream's page cache. Resolves to its path. */
  async addBlob(seed: string, size: number): Promise<string> {
    return blobPath(await pushNoise(this.upstream.url, seed, size))
  }

  get manifestByDigest(): string {
    return manifestPath(this.manifest)
  }

  /** Has a cache fetch something, and holds what it serves against the digest, once before and once after it is cached. */
  async warm(server: Server, path: string, headers: Record<string, string> = {}): Promise<void> {
    const expected = path.match(/sha256:\w+$/)?.[0] ?? this.manifest
    for (const state of ['cold', 'warm']) {
      const { status, digest } = await fetchDigest(`${server.url}${path}`, { ...acceptManifests, ...headers })
      if (status !== 200 || digest !== expected)
        throw new Error(`${server.name}, ${state}: ${path}: ${status} ${digest}`)
    }
  }

  /** Throws where upstream was asked for content meanwhile: what was measured then were no hits. */
  async hitting<T>(server: Server, work: () => Promise<T>): Promise<T> {
    const before = await this.upstream.gets()
    const result = await work()
    const gets = (await this.upstream.gets()) - before
    if (gets > 0) throw new Error(`${server.name} asked upstream ${gets} times for what it should have had`)
    return result
  }

  /** Nothing that was written before is still to be written by the kernel while the next run is measured. */
  async settle(): Promise<void> {
    await run('sync', [], { timeoutMs: 120_000 })
  }

  /**
   * Has the page cache let go of files: where memory is full of them, the kernel looks for room in the middle of a run.
   * Only root may.
   */
  async emptyPageCache(): Promise<void> {
    await this.settle()
    await writeFile('/proc/sys/vm/drop_caches', '1').catch(() => {})
  }

  /**
   * Does `work` while memory for so many bytes is free that is the machine's own. A virtual machine gives free memory
   * back to its host within seconds, and whoever writes to a page of it first waits for the host; but it gives back only
   * pieces of 2 MiB. So this takes twice as much, and frees every other MiB of it.
   */
  async withFreeMemory<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    await using kept = await this.#scratchFile('kept')
    {
      await using freed = await this.#scratchFile('freed')
      const zeros = Buffer.alloc(mebibyte)
      for (let written = 0; written < bytes; written += zeros.length) {
        await freed.write(zeros)
        await kept.write(zeros)
      }
      await kept.datasync() // else that would be written to the disk meanwhile
    }
    return await work()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }

  /** Gone once it is closed. */
  async #scratchFile(name: string): Promise<FileHandle> {
    const path = join(this.directory, name)
    const file = await open(path, 'w')
    await rm(path)
    return file
  }

  #cisternOptions(name: string, options: { config?: Record<string, unknown>; on?: Cores }): CisternOptions {
    const { profileDirectory } = this.#options
    return { name, upstream: this.upstream.url, profileDirectory, ...options }
  }
}

type Parts = Pick<Lab, 'directory' | 'upstream' | 'cistern' | 'nginx' | 'distribution' | 'manifest'>

/** Clients say which manifests they read; registries convert those that they do not. */
export const acceptManifests = { accept: 'application/vnd.oci.image.manifest.v1+json' }

/** The share of a disk that Cistern leaves free, by default: it stores nothing where less is. */
const keptFree = 0.05

/** A tmpfs would show what nobody's cache has: a disk that costs nothing. */
async function directoryOnDisk({ diskSpace: needed }: Scale): Promise<string> {
  for (const parent of [tmpdir(), '/var/tmp']) {
    const { type, blocks, bavail, bsize } = await statfs(parent)
    if (type === tmpfsMagic) continue
    const room = (bavail - blocks * keptFree) * bsize
    if (room < needed) throw new Error(`${parent} has less than ${needed / 2 ** 30} GiB and a twentieth free`)
    return mkdtemp(join(parent, 'cistern-bench-'))
  }
  throw new Error(`${tmpdir()} and /var/tmp are in memory: set TMPDIR to a directory on a disk`)
}
