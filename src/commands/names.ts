/** An image as clients of ours write it, with our host before its name or without, by its name alone. */
export function meantBy(publicUrl: string): (text: string) => string {
  const host = `${new URL(publicUrl).host}/`
  return (text) => (text.startsWith(host) ? text.slice(host.length) : text)
}
