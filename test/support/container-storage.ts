import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeRecipe } from '../clients/recipe.ts'
import { type Output, run, Service } from './process.ts'
import { requireTool } from './tools.ts'

/** Where podman and buildah keep images of a test, and what they pull through. Goes when disposed. */
export class ContainerStorage implements AsyncDisposable {
  /** For further files of the test. */
  readonly directory: string
  readonly #remove: () => Promise<void>
  readonly #env: NodeJS.ProcessEnv

  private constructor(directory: string, remove: () => Promise<void>, env: NodeJS.ProcessEnv) {
    this.directory = directory
    this.#remove = remove
    this.#env = env
  }

  /** Empty; `mirror` is the host and port of a Cistern, for docker.io. */
  static async open(mirror: string): Promise<ContainerStorage> {
    const { path, remove } = await mkdtempDisposable(join(tmpdir(), 'cistern-containers-'))
    const registries = await writeRecipe('podman/50-cistern.conf', mirror, join(path, 'registries.conf'))
    await writeFile(join(path, 'policy.json'), JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
    const homes = { HOME: path, XDG_RUNTIME_DIR: path, TMPDIR: path }
    return new ContainerStorage(path, remove, { ...process.env, ...homes, CONTAINERS_REGISTRIES_CONF: registries })
  }

  /** Empty, of a user who has a home with all that is to be known of registries. */
  static async of(home: string): Promise<ContainerStorage> {
    const { path, remove } = await mkdtempDisposable(join(tmpdir(), 'cistern-containers-'))
    const homes = { HOME: home, XDG_RUNTIME_DIR: path, TMPDIR: path, REGISTRY_AUTH_FILE: join(home, 'auth.json') }
    return new ContainerStorage(path, remove, { PATH: process.env.PATH, ...homes })
  }

  /** To be given to whatever pulls. */
  get policy(): string[] {
    return ['--signature-policy', join(this.directory, 'policy.json')]
  }

  run(tool: 'podman' | 'buildah', ...args: string[]): Promise<Output> {
    return run(requireTool(tool), [...this.#storage(), ...args], { env: this.#env })
  }

  /** A container in the foreground: it ends with the service. By runc, since crun refuses where cgroups are mixed. */
  start(...args: string[]): Service {
    const runtime = ['--runtime', requireTool('runc'), '--cgroup-manager', 'cgroupfs']
    const podman = [...this.#storage(), ...runtime, 'run', ...args]
    return new Service(requireTool('podman'), podman, { env: this.#env })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }

  #storage(): string[] {
    const path = (name: string) => join(this.directory, name)
    return ['--root', path('root'), '--runroot', path('run'), '--storage-driver', 'vfs']
  }
}
