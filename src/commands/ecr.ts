import type { Config } from '../config.ts'
import { lookUpSecret } from '../credentials/secrets-manager.ts'
import type { EcrOptions } from '../http/ecr/app.ts'
import type { OciOptions } from '../http/oci/app.ts'
import { unavailable } from '../oci/errors.ts'
import { isPublicOrigin } from '../upstream/addresses.ts'
import type { Core } from './core.ts'
import type { Lifecycle } from './lifecycle.ts'
import { checkUpstream } from './upstreams.ts'

/** What the control API manages, and what it may lead to. An instance that is offline asks nobody. */
export function controlOf(
  config: Config,
  { rules, secrets, settings, images, pullTimes, deletion, clock }: Core,
): Omit<EcrOptions, keyof OciOptions | keyof Lifecycle | 'tokens' | 'layerTokens'> {
  const { registry, proxy, publicUrl, allowPrivateUpstreams, offline } = config
  return {
    rules,
    secrets,
    settings,
    images,
    pulledAt: (repository, digest) => pullTimes.of(repository, digest),
    deletion,
    registry,
    publicUrl,
    clock,
    mayLeadTo: (origin) => allowPrivateUpstreams || isPublicOrigin(origin),
    lookUpSecret: async (arn) =>
      offline && !secrets.find(arn)
        ? { fault: 'inaccessible' }
        : lookUpSecret(arn, { local: secrets, way: async () => proxy }),
    checkUpstream: async (rule) => {
      if (offline) throw unavailable('this instance is offline: no upstream is asked')
      await checkUpstream(rule, config, secrets)
    },
  }
}
