import { buildConformance } from '../conformance/build.ts'
import { installDebianPackages } from './install-debian.ts'
import { installAwsCli, installMoto } from './install-python.ts'
import { debianPackages, missingTools } from './tools.ts'

/** Before all suites: installs what is missing where `CISTERN_TEST_INSTALL=1` asks for it, and in CI. */
export async function setup(): Promise<void> {
  if (process.env.CISTERN_TEST_INSTALL !== '1' && process.env.CI !== 'true') return
  const packages = debianPackages.filter(({ tools }) => missingTools(tools).length > 0)
  if (packages.length > 0) await installDebianPackages(packages.map((entry) => entry.package))
  if (missingTools(['moto_server']).length > 0) await installMoto()
  if (missingTools(['aws']).length > 0) await installAwsCli()
  if (missingTools(['conformance', 'olareg']).length > 0) await buildConformance()
}
