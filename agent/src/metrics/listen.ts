/** `:9090`, `127.0.0.1:9090` or `9090`. Throws on what is none. */
export function listenAddress(text: string): { host?: string; port: number } {
  const match = /^(?:([^:]*):)?(\d{1,5})$/.exec(text)
  if (match === null || Number(match[2]) > 65_535) throw new Error(`${JSON.stringify(text)} is not an address to serve at, such as :9090`)
  return { ...(match[1] === undefined || match[1] === '' ? {} : { host: match[1] }), port: Number(match[2]) }
}
