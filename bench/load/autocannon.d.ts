/** What is used of autocannon, which comes without types. */
declare module 'autocannon' {
  type Options = {
    url: string
    connections: number
    /** In seconds. */
    duration: number
    headers?: Record<string, string>
  }
  type Result = {
    requests: { total: number }
    /** In seconds. */
    duration: number
    errors: number
    timeouts: number
    non2xx: number
  }
  const autocannon: (options: Options) => Promise<Result>
  export = autocannon
}
