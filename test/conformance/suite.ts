import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'

export type SuiteResult = { passed: number; failed: number; skipped: number; report: string }

/** Runs the suite's parts that `settings` switches on. Throws, with the suite's report, where a specification fails. */
export async function runSuite(
  url: string,
  repository: string,
  settings: Record<string, string>,
): Promise<SuiteResult> {
  const env = {
    PATH: process.env.PATH,
    OCI_ROOT_URL: url,
    OCI_NAMESPACE: repository,
    OCI_CROSSMOUNT_NAMESPACE: `${repository}-mounted`,
    OCI_REPORT_DIR: 'none',
    ...settings,
  }
  const { stdout: report } = await run(requireTool('conformance'), ['-test.v', '-ginkgo.no-color'], { env })
  const count = (what: string) => Number(new RegExp(`(\\d+) ${what}`).exec(report)?.[1])
  return { passed: count('Passed'), failed: count('Failed'), skipped: count('Skipped'), report }
}
