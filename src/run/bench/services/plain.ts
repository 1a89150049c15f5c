import type { Context } from '../../../core/context.ts'
import { waitFor } from '../../../core/wait.ts'
import { shellQuote, type GuestStream, type StartedMachine } from '../../../machine/index.ts'
import { kubeProxyRules, type Rule } from './rules.ts'

/** Where the workload's program is on the nodes. */
export const probePath = '/run/kernelbed-probe'

const clientIp = '10.77.1.2'
const serverIp = '10.77.2.2'
export const plainClients = '10.77.1.0/24'

/** Namespaces of client and server on a node, each at a veth to a third one, which routes and translates by iptables: a bridge network with kube-proxy in small. */
export interface PlainSide {
  readonly serverIp: string
  /** Runs a command in the client's namespace and answers what it prints. */
  inClient(command: string): Promise<string>
  /** Runs one in the server's until it is stopped. */
  serve(command: string): Promise<GuestStream>
  /** Writes the whole table as kube-proxy does at a change; answers the seconds that iptables-restore took. */
  setServices(services: readonly Rule[]): Promise<number>
}

/** Makes it, with the probe's server in it. */
export async function plainSide(node: StartedMachine, ctx: Context): Promise<PlainSide> {
  const link = (name: string, own: string, router: string): string => `ip netns add kb-${name}
ip -n kb-router link add r-${name} type veth peer name eth0 netns kb-${name}
ip -n kb-router addr add ${router}/24 dev r-${name}
ip -n kb-router link set r-${name} up
ip -n kb-${name} addr add ${own}/24 dev eth0
ip -n kb-${name} link set eth0 up
ip -n kb-${name} link set lo up
ip -n kb-${name} route add default via ${router}`
  await node.exec('sh -s', { stdin: `set -e
ip netns add kb-router
ip -n kb-router link set lo up
ip netns exec kb-router sysctl -qw net.ipv4.ip_forward=1
${link('client', clientIp, '10.77.1.1')}
${link('server', serverIp, '10.77.2.1')}
` })
  const inside = (name: string, command: string): string => `ip netns exec kb-${name} sh -c ${shellQuote(command)}`
  const serve = (command: string): Promise<GuestStream> => node.stream(inside('server', `exec ${command}`))
  const server = await serve(`${probePath} serve --tcp 8080 --name plain`)
  ctx.registry.claim('the server of the plain side', () => server.stop())
  const side: PlainSide = {
    serverIp, serve,
    inClient: async (command) => (await node.exec(inside('client', command), { timeoutMs: 120_000, signal: ctx.signal })).stdout,
    setServices: async (services) => {
      await node.writeFile('/run/kernelbed-nat', kubeProxyRules(services, plainClients))
      const { stdout } = await node.exec(inside('router', 'a=$(date +%s%N); iptables-restore -w < /run/kernelbed-nat && b=$(date +%s%N) && echo $((b - a))'), { timeoutMs: 300_000, signal: ctx.signal })
      return Number(stdout) / 1e9
    },
  }
  await waitFor({ name: 'the server of the plain side to answer', timeoutMs: 20_000, signal: ctx.signal, blame: 'host' }, async () => {
    const answer = await side.inClient(`${probePath} connect --proto tcp --timeout-ms 2000 ${serverIp} 8080`)
    return answer.includes('"ok":true') ? { done: undefined } : { seen: answer.trim() }
  })
  return side
}

/** A VXLAN device on a bridge on each of two nodes, and a namespace at each bridge: what a tunnel is without an agent. Answers how to run a command in each namespace. */
export async function plainTunnel(nodes: readonly [StartedMachine, StartedMachine]): Promise<readonly [PlainEnd, PlainEnd]> {
  const address = (index: number): string => `10.78.0.${index + 1}`
  await Promise.all(nodes.map((node, index) => node.exec('sh -s', { stdin: `set -e
ip link add kb-vx type vxlan id 77 dstport 4790 local ${node.handle.address} remote ${nodes[1 - index]!.handle.address}
ip link add kb-br type bridge
ip link set kb-vx master kb-br up
ip netns add kb-far
ip link add kb-veth type veth peer name eth0 netns kb-far
ip link set kb-veth master kb-br up
ip link set kb-br up
ip -n kb-far addr add ${address(index)}/24 dev eth0
ip -n kb-far link set eth0 mtu 1450 up
` })))
  const end = (node: StartedMachine, index: number): PlainEnd => ({ ip: address(index), node, command: (inner) => `ip netns exec kb-far sh -c ${shellQuote(inner)}` })
  return [end(nodes[0], 0), end(nodes[1], 1)]
}

/** One end of the plain tunnel. */
export interface PlainEnd { readonly ip: string; readonly node: StartedMachine; readonly command: (inner: string) => string }
