/** An address and a port as one: `10.96.0.1:80`, `[fd96::1]:80`. */
export const hostPort = (ip: string, port: number): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)

/** The parts of `10.96.0.1:80`, `[fd96::1]:80` and what follows; undefined for what is neither. Addresses are not checked. */
export function splitHostPort(text: string): { ip: string; port: number; rest: string } | undefined {
  const [, four, six, port, rest = ''] = /^(?:(\d+\.\d+\.\d+\.\d+)|\[([\da-f:.]+)\]):(\d+)(.*)$/i.exec(text) ?? []
  const ip = four ?? six
  return ip === undefined ? undefined : { ip, port: Number(port), rest }
}
