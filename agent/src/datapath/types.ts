import type net from 'node:net'
import type { PrefilterConfig, PrefilterMode } from './prefilter.ts'

/**
 * The contract between lash's control plane and its BPF datapath. The control plane knows nothing of maps or netlink;
 * the datapath knows nothing of Kubernetes. IPv4 addresses are dotted strings, IPv6 addresses as RFC 5952 writes them, MACs are `aa:bb:cc:dd:ee:ff`.
 */
export type TunnelKind = 'vxlan' | 'geneve'

export interface DatapathConfig {
  /** ELF object made by clang from agent/bpf. */
  objectFile: string
  /** Where maps are pinned; mounted if it isn't. Maps found there are re-used (restart keeps state). Default /sys/fs/bpf. */
  bpffs: string
  nodeIPv4: string
  /** Interface holding nodeIPv4, e.g. eth1. */
  nodeDevice: string
  /** This node's pod CIDR, e.g. 10.244.1.0/24. */
  podCIDR: string
  /** All pods, e.g. 10.244.0.0/16; routed to cilium_host. */
  clusterCIDR: string
  /** Routed to cilium_host too, so that the host reaches ClusterIPs without kube-proxy. */
  serviceCIDR: string
  /** The router's address inside podCIDR (first address), assigned to cilium_host. */
  routerIPv4: string
  /** Encapsulation between nodes; the device is `cilium_` and this. */
  tunnel: TunnelKind
  /** UDP port of the tunnel. */
  tunnelPort: number
  /** Absent: pods have no IPv6. Nodes have a /96 each of the cluster's /64; it travels through the same tunnels. */
  ipv6?: { podCIDR: string; clusterCIDR: string; /** Cluster IPs of this family: routed as serviceCIDR is. */ serviceCIDR: string; /** Assigned to cilium_host, as routerIPv4 is. */ router: string }
  /** MTU of pods; the underlay's less 50. */
  mtu: number
  /** perf ring pages a CPU, power of two. */
  monitorPages: number
  /** Connections that each of the two tables has room for; 0 or absent: as many as the pinned one, or by the machine's memory. */
  conntrackEntries?: number
  /** What denies by prefix ahead of everything else; absent: nothing can be denied so. */
  prefilter?: PrefilterConfig
  /** Emit debug (type 2) and capture (type 3) messages too. */
  debug: boolean
}

export type Protocol = 'TCP' | 'UDP' | 'ICMP' | 'ICMPv6' | 'ANY'

/** One allowed peer of an endpoint. Port 0 and protocol ANY mean every port and protocol, of ICMP and ICMPv6 the port is the type; identity 0 means every identity. */
export interface PolicyAllow { identity: number; port: number; protocol: Protocol; /** Of TCP: where the agent's proxy listens, which decides on requests. None, or 0: allowed as it is. */ proxyPort?: number }

export interface Socket { ip: string; port: number }
/** Whom a connection that came to the proxy is for, by whose policy, and the identities of its ends. */
export interface ProxyOrigin extends Socket { client: string; direction: 'ingress' | 'egress'; srcIdentity: number; dstIdentity: number }

export interface EndpointSpec {
  id: number
  /** Path of the pod's network namespace as the agent sees it (/proc/PID/ns/net or /var/run/netns/x). */
  netns: string
  /** Interface to make inside, usually eth0. */
  containerInterface: string
  /** Name for the host side, `lxc` + up to 12 characters; unique. */
  hostInterface: string
  ipv4: string
  ipv6?: string
  /** Security identity; 0 or 5 (init) until allocated. */
  identity: number
}

/** An endpoint of an earlier agent. Where its container is, is of use if the endpoint map could not be kept. */
export type AdoptedEndpoint = Omit<EndpointSpec, 'netns' | 'containerInterface'> & Partial<Pick<EndpointSpec, 'netns' | 'containerInterface'>>

/** An interface as it is now. */
export interface InspectedLink { mac: string; up: boolean }
/** Both ends of an endpoint's pair; one that is not there is undefined. Addresses are `10.244.1.7/32`, routes those of the main table by the container's interface. */
export interface InspectedEndpoint { host: InspectedLink | undefined; container: InspectedLink & { addresses: string[]; routes: { dst: string; gw?: string }[] } | undefined }

export interface EndpointLink { hostInterface: string; ifindex: number; mac: string; nodeMac: string }

/** `weight` (default 1) is how many of the service's slots it has. */
export interface Backend { ip: string; port: number; weight?: number }
export interface ServiceSpec {
  /** Reverse-translation index, unique a frontend, 1..65535. */
  id: number
  frontend: { ip: string; port: number; protocol: 'TCP' | 'UDP' }
  /** Of the frontend's family. */
  backends: Backend[]
  /** Seconds that a client keeps its backend after its last new flow; undefined for no affinity. */
  affinity?: number
}

export interface TunnelEntry { prefix: string; node: string }
export interface ConntrackEntry {
  direction: 'IN' | 'OUT' | 'SVC'; protocol: number; src: string; srcPort: number; dst: string; dstPort: number
  /** Seconds from now. */
  expires: number
  rxPackets: number; rxBytes: number; txPackets: number; txBytes: number; flags: number; revnat: number; sourceIdentity: number
}

export interface MapFill { name: string; entries: number; capacity: number }

/** What a sweep found in one of the connection tables. */
export interface ConntrackSweep { table: string; family: 'ipv4' | 'ipv6'; capacity: number; alive: ProtocolCounts; deleted: ProtocolCounts }
export interface ProtocolCounts { tcp: number; other: number }

/** A raw record of the perf ring: byte 0 is the message type (drop 1, debug 2, capture 3, trace 4). Layout: agent/bpf/lib/events.h, decoded by agent/src/datapath/events.ts. */
export type RawEvent = { cpu: number; data: Buffer } | { cpu: number; lost: number }

export interface Datapath {
  /** What perf rings look like, for the monitor's header. */
  readonly ring: { cpus: number; pages: number; pageSize: number }
  /** What became of maps whose shape is another than an earlier agent's, for the log. */
  readonly notes: readonly string[]
  onEvent(listener: (event: RawEvent) => void): () => void
  /** Puts the programs in the place of an earlier agent's. To be called when all is in the maps; does nothing where that was so from the start. */
  attach(): void
  /** Creates the veth pair in the namespace, addresses and routes it, attaches the programs, and enters it in the endpoint map. Idempotent. */
  addEndpoint(spec: EndpointSpec): EndpointLink
  /** Takes an endpoint found after a restart (the veth exists) back under control. Returns undefined when its interface is gone. */
  adoptEndpoint(spec: AdoptedEndpoint): EndpointLink | undefined
  /** Looks at an endpoint's interfaces. Throws when the namespace is gone. */
  inspectEndpoint(spec: Pick<EndpointSpec, 'netns' | 'containerInterface' | 'hostInterface'>): InspectedEndpoint
  removeEndpoint(id: number): void
  setEndpointIdentity(id: number, identity: number): void
  /** Makes `ingress`/`egress` the whole policy of the endpoint. `undefined` = not enforced (all allowed). New allows are added before old ones are removed, and enforcement is switched on last, off first. Identity 1 (host) is always allowed in. Throws when not all of it fits: all else is as asked for then, and what doesn't fit is denied. */
  setPolicy(id: number, policy: { ingress?: PolicyAllow[]; egress?: PolicyAllow[] }): void
  /** Address of either family → identity; `node` is the tunnel end for addresses outside this node. */
  upsertIPCache(ip: string, entry: { identity: number; node?: string }): void
  deleteIPCache(ip: string): void
  /** Prefix outside the cluster → identity. An address has that of the longest prefix it is in; in none it is the world. Addresses of the ipcache go first. */
  upsertCIDR(prefix: string, identity: number): void
  deleteCIDR(prefix: string): void
  listCIDRs(): { prefix: string; identity: number }[]
  /** Pod prefix (a node's CIDR, of either family) → node's IPv4 address, for remote nodes; also lets remote node IPs be reached through the tunnel. */
  upsertTunnel(entry: TunnelEntry): void
  deleteTunnel(prefix: string): void
  upsertService(service: ServiceSpec): void
  deleteService(frontend: ServiceSpec['frontend']): void
  listTunnels(): TunnelEntry[]
  /** As the BPF maps have it, not as was asked for. */
  listServices(): ServiceSpec[]
  listIPCache(): { ip: string; identity: number; node?: string }[]
  listConntrack(): ConntrackEntry[]
  /** From the endpoint maps, a row an address; this host's own addresses are in it too, with id 0 and ifindex 0. */
  listEndpoints(): { ip: string; id: number; ifindex: number; mac: string; nodeMac: string; identity: number }[]
  /** Tables that fill up, by name; of connections as the last sweep found them. */
  listMaps(): MapFill[]
  listPolicy(id: number): { direction: 'ingress' | 'egress'; identity: number; port: number; protocol: Protocol; packets: number; bytes: number; /** 0 for none. */ proxyPort: number }[]
  /** A descriptor that listens where redirected connections of either family come (those of IPv4 may be seen with `::ffff:` before their addresses). Throws when the port is taken. */
  listenForProxy(port: number): number
  /** What is known of a connection that the proxy accepted; undefined when it didn't come by a redirect. */
  proxyOrigin(client: Socket, proxy: Socket): ProxyOrigin | undefined
  /** Connects to a server in the name of `identity`, whose packets these are to policy; `direction` is that of the policy that the proxy has decided by. A refusal comes as an error of the socket. */
  connectForProxy(server: Socket, identity: number, direction: 'ingress' | 'egress'): net.Socket
  /** Deletes expired conntrack entries, session affinities, and what the proxy no longer needs. */
  collectConntrack(): Promise<ConntrackSweep[]>
  /** Makes these source prefixes all that is dropped as it comes in. Throws, with the reason, where the kernel can't; nothing is changed then. */
  setPrefilter(prefixes: readonly string[]): void
  /** How the prefilter is attached; undefined while it isn't. */
  prefilterMode(): PrefilterMode | undefined
  /** Whether programs emit debug messages too. */
  setDebug(on: boolean): void
  /** One ICMP echo: the round trip in milliseconds. Rejects when there is no answer in time. */
  ping(ip: string, timeoutMs: number): Promise<number>
  metrics(): { reason: number; direction: 'ingress' | 'egress'; packets: number; bytes: number }[]
  /** Stops reading events; programs and maps stay, traffic goes on. */
  close(): void
  /** Removes every program, map, interface, route and rule. */
  uninstall(): void
}
