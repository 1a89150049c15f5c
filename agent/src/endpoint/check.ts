import * as z from 'zod/mini'
import { canonical, normalized } from '../cluster/cidr.ts'
import type { InspectedEndpoint } from '../datapath/types.ts'

/** What ADD answers, and CHECK is told as `prevResult`: the CNI specification, 0.3.0 to 0.4.0. */
const result = z.object({
  interfaces: z.optional(z.array(z.object({ name: z.string(), mac: z.optional(z.string()), sandbox: z.optional(z.string()) }))),
  ips: z.optional(z.array(z.object({ address: z.string(), interface: z.optional(z.int()) }))),
  routes: z.optional(z.array(z.object({ dst: z.string(), gw: z.optional(z.string()) }))),
})
export type CNIResult = z.infer<typeof result>

/** Undefined where the runtime passes none. Throws, saying what is wrong, for one that is no result. */
export function prevResultOf(config: string): CNIResult | undefined {
  const { prevResult } = JSON.parse(config) as { prevResult?: unknown }
  if (prevResult === undefined) return undefined
  const parsed = result.safeParse(prevResult)
  if (!parsed.success) throw new Error(`prevResult is not a result of ADD: ${parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`)
  return parsed.data
}

/** Of a container, and the interface that CNI gives it. */
export interface Checked { netns: string; ifname: string; hostInterface: string }

/** In words, each thing that a result promises of the container and that isn't so. What other plugins have added, and the result doesn't name, is no difference. */
export function differences(promised: CNIResult, seen: InspectedEndpoint, { netns, ifname, hostInterface }: Checked): string[] {
  const { interfaces = [], ips = [], routes = [] } = promised
  const { container, host } = seen
  const own = interfaces.findIndex(({ name, sandbox }) => name === ifname && Boolean(sandbox))
  const inside = interfaces[own], outside = interfaces.find(({ name, sandbox }) => name === hostInterface && !sandbox)
  const found: string[] = []
  if (interfaces.length > 0 && inside === undefined) found.push(`the result names no interface ${ifname} in the container`)
  if (inside?.sandbox !== undefined && inside.sandbox !== netns) found.push(`the result is of the network namespace ${inside.sandbox}, the container's is ${netns}`)
  if (host === undefined) found.push(`interface ${hostInterface} of the host is gone`)
  else found.push(...state(hostInterface, host, outside?.mac))
  if (container === undefined) return [...found, `interface ${ifname} is gone`]
  found.push(...state(ifname, container, inside?.mac))
  for (const address of ips.filter((ip) => ip.interface === undefined || ip.interface === own).map(({ address: text }) => exact(text)))
    if (!container.addresses.includes(address)) found.push(`interface ${ifname} has no address ${address} (it has ${listed(container.addresses)})`)
  for (const { dst, gw } of routes) {
    const there = container.routes.filter((route) => route.dst === prefixed(dst))
    const by = there.map((route) => route.gw ?? 'no gateway')
    if (there.length === 0) found.push(`there is no route to ${dst} (there are routes to ${listed(container.routes.map((route) => route.dst))})`)
    else if (gw !== undefined && !there.some((route) => route.gw === exact(gw))) found.push(`the route to ${dst} is by ${by.join(', ')} instead of ${gw}`)
  }
  return found
}

function state(name: string, { mac, up }: { mac: string; up: boolean }, wanted: string | undefined): string[] {
  return [...(up ? [] : [`interface ${name} is down`]), ...(wanted === undefined || wanted === '' || wanted.toLowerCase() === mac ? [] : [`interface ${name} has MAC ${mac} instead of ${wanted}`])]
}

const listed = (all: string[]): string => (all.length === 0 ? 'none' : all.join(', '))
/** `FD00::1/64` as fd00::1/64. */
const exact = (text: string): string => { const [address = '', bits] = text.split('/'); return `${canonical(address)}${bits === undefined ? '' : `/${bits}`}` }
/** What isn't a prefix stays as it is, and is found nowhere. */
function prefixed(text: string): string {
  try { return normalized(text) } catch { return text }
}
