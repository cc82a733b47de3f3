import { buildConformance } from '../conformance/build.ts'
import { buildDeployTools } from '../deploy/build-tools.ts'
import { installDebianPackages } from './install-debian.ts'
import { installAwsCli, installKubernetesValidate, installMoto } from './install-python.ts'
import { debianPackages, missingTools, type Tool } from './tools.ts'

/** Before all suites: installs what is missing where `CISTERN_TEST_INSTALL=1` asks for it, and in CI. */
export async function setup(): Promise<void> {
  if (process.env.CISTERN_TEST_INSTALL !== '1' && process.env.CI !== 'true') return
  const packages = debianPackages.filter(({ tools }) => missingTools(tools).length > 0)
  if (packages.length > 0) await installDebianPackages(packages.map((entry) => entry.package))
  const lacks = (...tools: Tool[]) => missingTools(tools).length > 0
  await Promise.all([
    lacks('helm', 'compose') && buildDeployTools(),
    lacks('conformance', 'olareg') && buildConformance(),
    lacks('moto_server') && installMoto(),
    lacks('aws') && installAwsCli(),
    lacks('kubernetes-validate') && installKubernetesValidate(),
  ])
}
