/** An address and a port as one: `10.96.0.1:80`, `[fd96::1]:80`. */
export const hostPort = (ip: string, port: number): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)
