import ipaddr from 'ipaddr.js'

export const toNumber = (ip: string): number => ip.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
export const toIP = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')

/** First and last address of a prefix, as numbers. Throws on what isn't an IPv4 prefix. */
export function range(cidr: string): { first: number; last: number } {
  const match = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(cidr)
  const bits = Number(match?.[2])
  if (match === null || bits > 32 || match[1]!.split('.').some((octet) => Number(octet) > 255)) throw new Error(`${JSON.stringify(cidr)} is not an IPv4 prefix such as 10.244.1.0/24`)
  const size = 2 ** (32 - bits)
  const first = Math.floor(toNumber(match[1]!) / size) * size
  return { first, last: first + size - 1 }
}

/** The router's address of a pod CIDR: the one after the network's. */
export const firstAddress = (cidr: string): string => toIP(range(cidr).first + 1)

const six = (cidr: string): boolean => cidr.includes(':')

function parse6(cidr: string): [ipaddr.IPv6, number] {
  if (!ipaddr.IPv6.isValidCIDR(cidr)) throw new Error(`${JSON.stringify(cidr)} is not an IPv6 prefix such as f00d::/64`)
  return ipaddr.IPv6.parseCIDR(cidr)
}

/** Whether every address of one prefix is in the other; of another family none is. */
export function contains(outer: string, inner: string): boolean {
  if (six(outer) !== six(inner)) return false
  if (six(outer)) {
    const [a, b] = [parse6(outer), parse6(inner)]
    return a[1] <= b[1] && b[0].match(a)
  }
  const [a, b] = [range(outer), range(inner)]
  return a.first <= b.first && b.last <= a.last
}

/** An address as it is compared: of IPv6 in the form of RFC 5952. What isn't an address stays as it is. */
export const canonical = (ip: string): string => (six(ip) && ipaddr.IPv6.isValid(ip) ? ipaddr.IPv6.parse(ip).toRFC5952String() : ip)

/** `10.9.1.7/16` and `10.9.1.7` as 10.9.0.0/16 and 10.9.1.7/32, `fd00::1` as fd00::1/128. Throws on what isn't a prefix or address. */
export function normalized(cidr: string): string {
  if (six(cidr)) {
    const [address, bits] = parse6(cidr.includes('/') ? cidr : `${cidr}/128`)
    return `${ipaddr.IPv6.networkAddressFromCIDR(`${address.toString()}/${bits}`).toRFC5952String()}/${bits}`
  }
  const full = cidr.includes('/') ? cidr : `${cidr}/32`
  return `${toIP(range(full).first)}/${full.split('/')[1]!}`
}
