import { atLeast } from '../core/versions.ts'
import { catalogue } from './catalogue.ts'
import { datapathOptions } from './config-options.ts'

/** Kernel lines as people write them: `4.9`. */
type Line = `${number}.${number}`

interface Spec {
  readonly title: string
  /** Mainline kernel that brought it. Stable releases of older lines may have it too. */
  readonly since: Line
  /** Options, without CONFIG_, that bring it beside BPF_SYSCALL. */
  readonly config?: readonly string[]
  /** Lines from `since` on that lack it all the same, and why. */
  readonly except?: Readonly<Partial<Record<Line, string>>>
}

/**
 * What the probe (src/probe) asks every kernel for, by the names of `bpftool feature` where it has one. `since` is from the kernel's own history
 * (the release that first held the commit), checked against the kernels of docs/features.md.
 */
const specs = {
  'map:hash': { since: '3.19', title: 'hash table' },
  'map:array': { since: '3.19', title: 'array' },
  'map:prog_array': { since: '4.2', title: 'programs to tail-call' },
  'map:perf_event_array': { since: '4.3', title: 'perf rings, for events', config: ['PERF_EVENTS'] },
  'map:percpu_hash': { since: '4.6', title: 'hash table, a value for each CPU' },
  'map:percpu_array': { since: '4.6', title: 'array, a value for each CPU' },
  'map:stack_trace': { since: '4.6', title: 'stack traces', config: ['PERF_EVENTS'] },
  'map:cgroup_array': { since: '4.8', title: 'control groups to compare with', config: ['CGROUPS'] },
  'map:lru_hash': { since: '4.10', title: 'hash table that forgets the least recently used' },
  'map:lru_percpu_hash': { since: '4.10', title: 'the same, a value for each CPU' },
  'map:lpm_trie': { since: '4.11', title: 'longest prefix match' },
  'map:array_of_maps': { since: '4.12', title: 'array of maps' },
  'map:hash_of_maps': { since: '4.12', title: 'hash table of maps' },
  'map:devmap': { since: '4.14', title: 'devices to redirect to' },
  'map:sockmap': { since: '4.14', title: 'sockets to redirect to', config: ['BPF_STREAM_PARSER'] },
  'map:cpumap': { since: '4.15', title: 'CPUs to redirect to' },
  'map:xskmap': { since: '4.18', title: 'AF_XDP sockets', config: ['XDP_SOCKETS'] },
  'map:sockhash': { since: '4.18', title: 'sockets by key', config: ['BPF_STREAM_PARSER'] },
  'map:cgroup_storage': { since: '4.19', title: 'storage of a control group', config: ['CGROUP_BPF'] },
  'map:reuseport_sockarray': { since: '4.19', title: 'sockets of a reuseport group' },
  'map:queue': { since: '4.20', title: 'queue' },
  'map:stack': { since: '4.20', title: 'stack' },
  'map:sk_storage': { since: '5.2', title: 'storage of a socket' },
  'map:devmap_hash': { since: '5.4', title: 'devices by key' },
  'map:struct_ops': { since: '5.6', title: 'kernel operations in BPF', config: ['BPF_JIT', 'DEBUG_INFO_BTF'] },
  'map:ringbuf': { since: '5.8', title: 'one ring for all CPUs' },
  'map:bloom_filter': { since: '5.16', title: 'Bloom filter' },

  'prog:socket_filter': { since: '3.19', title: 'socket filter' },
  'prog:kprobe': { since: '4.1', title: 'kprobe', config: ['BPF_EVENTS'] },
  'prog:sched_cls': { since: '4.1', title: 'tc classifier' },
  'prog:sched_act': { since: '4.1', title: 'tc action' },
  'prog:tracepoint': { since: '4.7', title: 'tracepoint', config: ['BPF_EVENTS'] },
  'prog:xdp': { since: '4.8', title: 'XDP' },
  'prog:cgroup_skb': { since: '4.10', title: 'packets of a control group', config: ['CGROUP_BPF'] },
  'prog:cgroup_sock': { since: '4.10', title: 'sockets of a control group', config: ['CGROUP_BPF'] },
  'prog:lwt_in': { since: '4.10', title: 'lightweight tunnel, in', config: ['LWTUNNEL_BPF'] },
  'prog:lwt_out': { since: '4.10', title: 'lightweight tunnel, out', config: ['LWTUNNEL_BPF'] },
  'prog:lwt_xmit': { since: '4.10', title: 'lightweight tunnel, xmit', config: ['LWTUNNEL_BPF'] },
  'prog:sock_ops': { since: '4.13', title: 'TCP events of a control group', config: ['CGROUP_BPF'] },
  'prog:sk_skb': { since: '4.14', title: 'packets of a sockmap', config: ['BPF_STREAM_PARSER'] },
  'prog:sk_msg': { since: '4.17', title: 'messages of a sockmap', config: ['BPF_STREAM_PARSER'] },
  'prog:raw_tracepoint': { since: '4.17', title: 'raw tracepoint', config: ['BPF_EVENTS'] },
  'prog:cgroup_sock_addr': { since: '4.17', title: 'connect, bind, sendmsg of a control group', config: ['CGROUP_BPF'] },
  'prog:sk_reuseport': { since: '4.19', title: 'choice within a reuseport group' },
  'prog:flow_dissector': { since: '4.20', title: 'flow dissector' },
  'prog:cgroup_sockopt': { since: '5.3', title: 'socket options of a control group', config: ['CGROUP_BPF'] },
  'prog:tracing': { since: '5.5', title: 'fentry, fexit', config: ['BPF_JIT', 'BPF_EVENTS', 'DEBUG_INFO_BTF'] },
  'prog:struct_ops': { since: '5.6', title: 'kernel operations', config: ['BPF_JIT', 'DEBUG_INFO_BTF'] },
  'prog:sk_lookup': { since: '5.9', title: 'choice of a listening socket' },
  'prog:syscall': { since: '5.14', title: 'syscall' },
  'prog:netfilter': { since: '6.4', title: 'netfilter', config: ['NETFILTER_BPF_LINK'] },

  'helper:sched_cls/bpf_ktime_get_ns': { since: '4.1', title: 'time' },
  'helper:sched_cls/bpf_skb_store_bytes': { since: '4.1', title: 'write into the packet' },
  'helper:sched_cls/bpf_l4_csum_replace': { since: '4.1', title: 'mend the transport checksum' },
  'helper:sched_cls/bpf_tail_call': { since: '4.2', title: 'go on with another program' },
  'helper:sched_cls/bpf_clone_redirect': { since: '4.2', title: 'send a copy' },
  'helper:sched_cls/bpf_skb_set_tunnel_key': { since: '4.3', title: 'choose the tunnel' },
  'helper:sched_cls/bpf_redirect': { since: '4.4', title: 'send to a device' },
  'helper:sched_cls/bpf_skb_load_bytes': { since: '4.5', title: 'read from the packet' },
  'helper:sched_cls/bpf_csum_diff': { since: '4.6', title: 'checksum of a difference' },
  'helper:sched_cls/bpf_skb_set_tunnel_opt': { since: '4.6', title: 'tunnel options (geneve)' },
  'helper:sched_cls/bpf_perf_event_output': { since: '4.7', title: 'an event with the packet', config: ['PERF_EVENTS'] },
  'helper:sched_cls/bpf_skb_change_proto': { since: '4.8', title: 'IPv4 to IPv6 and back' },
  'helper:sched_cls/bpf_skb_change_type': { since: '4.8', title: 'packet type' },
  'helper:sched_cls/bpf_get_hash_recalc': { since: '4.8', title: 'flow hash' },
  'helper:sched_cls/bpf_skb_pull_data': { since: '4.9', title: 'make the packet linear' },
  'helper:sched_cls/bpf_csum_update': { since: '4.9', title: 'update the complete checksum' },
  'helper:sched_cls/bpf_get_socket_cookie': { since: '4.12', title: 'socket cookie' },
  'helper:sched_cls/bpf_skb_adjust_room': { since: '4.13', title: 'room for headers' },
  'helper:sched_cls/bpf_fib_lookup': { since: '4.18', title: 'route lookup' },
  'helper:sched_cls/bpf_sk_lookup_tcp': { since: '4.20', title: 'socket lookup' },
  'helper:sched_cls/bpf_skb_ecn_set_ce': { since: '5.1', title: 'mark congestion' },
  'helper:sched_cls/bpf_skc_lookup_tcp': { since: '5.2', title: 'socket lookup, requests too' },
  'helper:sched_cls/bpf_sk_assign': { since: '5.7', title: 'give the packet to a socket' },
  'helper:sched_cls/bpf_ringbuf_output': { since: '5.8', title: 'an event to the ring' },
  'helper:sched_cls/bpf_redirect_neigh': { since: '5.10', title: 'send by the neighbour table' },
  'helper:sched_cls/bpf_redirect_peer': { since: '5.10', title: 'into the namespace of the peer' },
  'helper:sched_cls/bpf_skb_set_tstamp': { since: '5.18', title: 'time of departure' },
  'helper:xdp/bpf_xdp_adjust_head': { since: '4.10', title: 'room before the packet' },
  'helper:xdp/bpf_redirect': { since: '4.14', title: 'send to a device' },
  'helper:xdp/bpf_redirect_map': { since: '4.14', title: 'send by a map' },
  'helper:xdp/bpf_xdp_adjust_tail': { since: '4.18', title: 'cut the packet' },
  'helper:xdp/bpf_fib_lookup': { since: '4.18', title: 'route lookup' },
  'helper:xdp/bpf_xdp_load_bytes': { since: '5.18', title: 'read from a packet of several pages' },
  'helper:sock_ops/bpf_setsockopt': { since: '4.13', title: 'socket options', config: ['CGROUP_BPF'] },
  'helper:cgroup_sock_addr/bpf_bind': { since: '4.17', title: 'source address of a connect', config: ['CGROUP_BPF'] },
  'helper:cgroup_sock_addr/bpf_get_netns_cookie': { since: '5.7', title: 'cookie of the network namespace', config: ['CGROUP_BPF'] },

  'attach:socket-filter': { since: '3.19', title: 'to a socket' },
  'attach:tc-ingress': { since: '4.4', title: 'to the ingress qdisc, direct action', config: ['NET_SCH_INGRESS', 'NET_CLS_BPF', 'NET_CLS_ACT'] },
  'attach:tc-clsact': { since: '4.5', title: 'to clsact, both directions, direct action', config: ['NET_SCH_INGRESS', 'NET_CLS_BPF', 'NET_CLS_ACT'] },
  'attach:cgroup-skb': { since: '4.10', title: 'to a control group', config: ['CGROUP_BPF'] },
  'attach:xdp-generic': { since: '4.12', title: 'XDP on any device' },
  'attach:cgroup-sock-ops': { since: '4.13', title: "to a control group's TCP events", config: ['CGROUP_BPF'] },
  'attach:sockmap': { since: '4.14', title: 'to a sockmap', config: ['BPF_STREAM_PARSER'] },
  'attach:cgroup-multi': { since: '4.15', title: 'several to one control group', config: ['CGROUP_BPF'] },
  'attach:cgroup-connect4': { since: '4.17', title: "to a control group's connects", config: ['CGROUP_BPF'] },
  'attach:raw-tracepoint': { since: '4.17', title: 'to a raw tracepoint', config: ['BPF_EVENTS'] },
  'attach:xdp-native': { since: '4.19', title: 'XDP in the driver of a veth' },
  'attach:cgroup-link': { since: '5.7', title: 'to a control group, by a link', config: ['CGROUP_BPF'] },
  'attach:xdp-link': { since: '5.9', title: 'XDP, by a link' },
  'attach:sk-lookup': { since: '5.9', title: 'to a network namespace' },
  'attach:tcx': { since: '6.6', title: 'tcx', config: ['NET_XGRESS'] },

  'link:veth': { since: '3.19', title: 'veth pair', config: ['VETH'] },
  'link:bridge': { since: '3.19', title: 'bridge', config: ['BRIDGE'] },
  'link:ipvlan': { since: '3.19', title: 'ipvlan, L3', config: ['IPVLAN'] },
  'link:vxlan-external': { since: '4.3', title: 'VXLAN, keys by packet', config: ['VXLAN'] },
  'link:geneve-external': { since: '4.3', title: 'Geneve, keys by packet', config: ['GENEVE'] },
  'link:netkit': { since: '6.7', title: 'netkit', config: ['NETKIT'] },

  'limit:stack-512': { since: '3.19', title: '512 bytes of stack' },
  'limit:bpf-calls': { since: '4.16', title: 'calls of BPF functions' },
  'limit:insns-1m': { since: '5.2', title: 'programs of more than 4,096 instructions' },
  'limit:bounded-loops': { since: '5.3', title: 'loops that end' },
  'limit:tail-calls-with-bpf-calls': { since: '5.10', title: 'tail calls beside calls of functions', config: ['BPF_JIT_DEFAULT_ON'] },
  'limit:memcg-accounting': { since: '5.11', title: 'no limit by RLIMIT_MEMLOCK' },
  'access:packet-read': { since: '4.7', title: 'read the packet directly' },
  'access:packet-write': { since: '4.9', title: 'write the packet directly' },
  'access:map-value-dynamic': { since: '4.9', title: 'map values by an index known at run time' },
  'access:global-data': { since: '5.2', title: 'global variables' },
  'isa:v2': { since: '4.14', title: 'instructions: less-than jumps' },
  'isa:v3': { since: '5.1', title: 'instructions: 32-bit jumps' },
  'isa:atomics': { since: '5.12', title: 'instructions: atomic fetch-and-add' },
  'isa:v4': { since: '6.6', title: 'instructions: signed division' },

  'cmd:map-first-key': { since: '4.12', title: 'walk a map without a key to begin with' },
  'cmd:prog-test-run': { since: '4.12', title: 'run a program on given data' },
  'cmd:obj-get-info': { since: '4.13', title: 'information of an object' },
  'cmd:prog-get-next-id': { since: '4.13', title: 'list programs' },
  'cmd:map-name': { since: '4.15', title: 'names of maps' },
  'cmd:map-lookup-and-delete': { since: '4.20', title: 'take from a map' },
  'cmd:map-freeze': { since: '5.2', title: 'make a map read-only' },
  'cmd:map-mmap': { since: '5.5', title: 'map values in memory' },
  'cmd:map-lookup-batch': { since: '5.6', title: 'many entries at once' },
  'fs:bpf': { since: '4.4', title: 'bpf file system' },
  'fs:pin-map': { since: '4.4', title: 'pinned maps' },
  'fs:pin-prog': { since: '4.4', title: 'pinned programs' },
  'btf:load': { since: '4.18', title: 'BTF of programs' },
  'btf:vmlinux': { since: '5.4', title: 'BTF of the kernel', config: ['DEBUG_INFO_BTF'] },
} as const satisfies Readonly<Record<string, Spec>>

type Bare<O> = O extends `CONFIG_${infer Name}` ? Name : never

/** Options without which no kernel can be a node of a cluster with such an agent: what they bring is never excused by the kernel's config. */
const needed = [...datapathOptions.map((option) => option.replace('CONFIG_', '') as Bare<typeof option>), 'PERF_EVENTS', 'CGROUPS'] as const

type Probed = keyof typeof specs
type OptionOf<S> = S extends { readonly config: readonly (infer O extends string)[] } ? O : never
export type ConfigOption = OptionOf<(typeof specs)[Probed]> | (typeof needed)[number]

/** Features that the probe tries, and options of the kernel's config: `map:lpm_trie`, `config:CGROUP_BPF`. */
export type FeatureName = Probed | `config:${ConfigOption}`

export interface Feature {
  readonly name: FeatureName
  readonly title: string
  readonly since: string
  readonly config: readonly ConfigOption[]
  readonly except: Readonly<Record<string, string>>
}

const probed: readonly Feature[] = Object.entries<Spec>(specs).map(([name, spec]) => ({
  name: name as Probed, title: spec.title, since: spec.since, config: (spec.config ?? ['BPF_SYSCALL']) as ConfigOption[], except: { ...spec.except } as Record<string, string>,
}))

/** Options that features hang on, in alphabetical order. */
export const configOptions: readonly ConfigOption[] = [...new Set([...needed, ...probed.flatMap(({ config }) => config)])].sort()

/** Everything a probe answers for, in its order. */
export const features: readonly Feature[] = [...probed, ...configOptions.map((option): Feature => ({ name: `config:${option}`, title: `CONFIG_${option}`, since: '3.19', config: [option], except: {} }))]

const byName: ReadonlyMap<string, Feature> = new Map(features.map((feature) => [feature.name, feature]))

/** By any name: what a test file or a saved table says need not be known here. */
export const findFeature = (name: string): Feature | undefined => byName.get(name)

/** Whether kernels of the line can have the feature: it had come by then, and the line is no exception. */
export const comesWith = (feature: Feature, line: string): boolean => atLeast(line, feature.since) && feature.except[line] === undefined

/**
 * Whether a kernel of the line must have the feature: it comes with the line, and each option it hangs on is one that every node needs, or is known
 * to be set in this kernel (`isSet`). Options themselves are never demanded: what they bring is.
 */
export function mustHave(feature: Feature, line: string, isSet: (option: ConfigOption) => boolean): boolean {
  if (feature.name.startsWith('config:') || !comesWith(feature, line)) return false
  return feature.config.every((option) => (needed as readonly string[]).includes(option) || isSet(option))
}

/** Lines of the catalogue on which a test that needs all of these would run. */
export const linesWith = (needs: readonly Feature[]): string[] =>
  catalogue.filter(({ name, agent }) => agent !== 'refuses' && needs.every((feature) => comesWith(feature, name))).map(({ name }) => name)
