/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Maps. The section "maps" holds definitions that agent/src/datapath/elf.ts reads; all but cilium_calls are shared by every generation
 * of programs through bpffs. Hash maps are preallocated: 4.9 can deadlock allocating from a program otherwise, and a full map shows at once.
 */
#pragma once
#include "net.h"

struct map_def { __u32 type, key_size, value_size, max_entries, flags; };
#define MAP(NAME, TYPE, KEY, VALUE, MAX) \
	struct map_def __section("maps") NAME = { .type = TYPE, .key_size = sizeof(KEY), .value_size = sizeof(VALUE), .max_entries = MAX }

/* What Cilium compiles into its programs. One entry. */
struct config {
	__u32 debug;
	__be32 pod_prefix, pod_mask;         /* of this node; remote nodes' prefixes are of the same length */
	__be32 cluster_prefix, cluster_mask;
	__u32 host_ifindex, overlay_ifindex;
	__u32 prefix_lengths;                /* those that cilium_cidr has: bit n - 1 for /n */
	__u8 host_mac[6];                    /* of cilium_host */
	__u16 pad;
};
MAP(cilium_config, BPF_MAP_TYPE_ARRAY, __u32, struct config, 1);

enum { EP_HOST = 1, EP_ENFORCE_INGRESS = 2, EP_ENFORCE_EGRESS = 4 };
struct endpoint {
	__u32 ifindex;
	__u16 id;
	__u16 pad;
	__u32 flags;
	__u32 identity;
	__u8 mac[6];      /* of the pod; directly followed by node_mac: the first 12 bytes of a delivered frame */
	__u8 node_mac[6];
	__u32 pad2;
};
MAP(cilium_lxc, BPF_MAP_TYPE_HASH, __be32, struct endpoint, 2048);

/* Interface index to endpoint address: tells from-container whom it runs for, whatever the packet claims. */
MAP(cilium_lxc_if, BPF_MAP_TYPE_HASH, __u32, __be32, 2048);

struct remote_endpoint { __u32 identity; __be32 node; };
MAP(cilium_ipcache, BPF_MAP_TYPE_HASH, __be32, struct remote_endpoint, 16384);

/*
 * Identities of prefixes outside the cluster. A lookup for each length in use, longest first: LPM tries are 4.11, and this costs a policy with
 * one length no more than one.
 */
struct cidr_key { __be32 address; __u32 bits; };
MAP(cilium_cidr, BPF_MAP_TYPE_HASH, struct cidr_key, __u32, 4096);

/* Key: a pod prefix's address, or a node's own address. */
MAP(cilium_tunnel_map, BPF_MAP_TYPE_HASH, __be32, __be32, 4096);

struct policy_key {
	__u32 identity;   /* 0: any */
	__u16 endpoint;
	__be16 dport;     /* 0: any; of ICMP the type */
	__u8 proto;       /* 0: any */
	__u8 egress;
	__u16 pad;
};
struct policy_entry {
	__u64 packets, bytes;
	__be16 proxy_port; /* where the agent's proxy decides on; 0: allowed as it is */
	__u16 pad[3];
};
MAP(cilium_policy, BPF_MAP_TYPE_HASH, struct policy_key, struct policy_entry, 65536); /* of all endpoints: 6.8 MB */

struct lb4_key {
	__be32 address;
	__be16 dport;
	__u16 slave;      /* 0: the service itself; backends are 1..count */
	__u8 proto;
	__u8 pad[3];
};
struct lb4_service {
	__be32 target;    /* zero in the service itself */
	__be16 port;
	__u16 count;
	__u16 rev_nat_index;
	__u16 pad;
	__u32 affinity;   /* seconds that a client keeps its backend after its last new flow, or 0; in the service itself */
};
MAP(cilium_lb4_services, BPF_MAP_TYPE_HASH, struct lb4_key, struct lb4_service, 65536);

struct lb4_reverse_nat { __be32 address; __be16 port; __u16 pad; };
MAP(cilium_lb4_reverse_nat, BPF_MAP_TYPE_HASH, __u32, struct lb4_reverse_nat, 65536);

/* Which backends exist, by value. A flow keeps its backend while it is in here, wherever its slot in the service has moved to. */
struct lb4_backend_key { __be32 address; __be16 port; __u16 rev_nat_index; };
MAP(cilium_lb4_backends, BPF_MAP_TYPE_HASH, struct lb4_backend_key, __u32, 65536);

/* The backend that a client of a service with affinity had last. The agent removes what is past its time. */
struct lb4_affinity_key { __be32 client; __u16 rev_nat_index; __u16 pad; };
struct lb4_affinity { __be32 address; __be16 port; __u16 pad; __u32 last_used; };
MAP(cilium_lb4_affinity, BPF_MAP_TYPE_HASH, struct lb4_affinity_key, struct lb4_affinity, 16384);

enum { CT_F_OUT = 0, CT_F_IN = 1, CT_F_SERVICE = 4 };
/* Addresses and ports as in the flow's first packet. */
struct ct_key {
	__be32 daddr, saddr;
	__be16 dport, sport;
	__u8 nexthdr;
	__u8 flags;
	__u16 pad;
};
enum { CT_RX_CLOSING = 1, CT_TX_CLOSING = 2, CT_LOOPBACK = 8, CT_SEEN_NON_SYN = 16, CT_RETURN = 32, CT_PROXY = 64 };
struct ct_entry {
	__u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
	__u32 lifetime;       /* CLOCK_MONOTONIC seconds at which the entry is void */
	__u16 flags;
	__u16 rev_nat_index;
	__u32 src_sec_id;
	__be32 backend_addr;  /* of CT_F_SERVICE entries the backend; with CT_LOOPBACK the client that LOOPBACK_ADDR stands for; with CT_RETURN the node that replies go back by, 0 for this one */
	__be16 backend_port;  /* with CT_PROXY the proxy's */
	__u16 pad[3];
};
MAP(cilium_ct4_global, BPF_MAP_TYPE_HASH, struct ct_key, struct ct_entry, 65536);

/* A connection that goes to the proxy, as the proxy's socket sees it: from whom it came, and whom it was for. The agent removes what is in no conntrack entry. */
struct proxy4_key { __be32 saddr, daddr; __be16 sport, dport; };
struct proxy4_flow {
	__be32 daddr;
	__be16 dport;
	__u16 egress;     /* by the sender's policy, not by the receiver's */
	__u32 src_identity, dst_identity;
};
MAP(cilium_proxy4, BPF_MAP_TYPE_HASH, struct proxy4_key, struct proxy4_flow, 32768);

enum { METRIC_INGRESS = 1, METRIC_EGRESS = 2 };
struct metrics_key { __u8 reason, dir; __u16 pad[3]; };
struct metrics_value { __u64 count, bytes; };
MAP(cilium_metrics, BPF_MAP_TYPE_PERCPU_HASH, struct metrics_key, struct metrics_value, 1024);

/* max_entries 0: the loader puts the number of possible CPUs. */
MAP(cilium_events, BPF_MAP_TYPE_PERF_EVENT_ARRAY, __u32, __u32, 0);

enum { CALL_LB4 = 0, CALL_EGRESS4 = 1, CALL_DELIVER4 = 2, CALL_TO_STACK4 = 3, CALL_IDENTIFY4 = 4, CALL_TO_PROXY4 = 5, CALL_FROM_PROXY4 = 6 };
enum { CALL_FROM_CONTAINER6 = 8, CALL_FROM_HOST6 = 9, CALL_FROM_OVERLAY6 = 10, CALL_IDENTIFY6 = 11, CALL_EGRESS6 = 12, CALL_DELIVER6 = 13, CALL_LB6 = 14, CALL_SEND6 = 15 };
enum { CALL_REVERSE6 = 16, CALL_TO_STACK6 = 17, CALL_TO_PROXY6 = 18, CALL_FROM_PROXY6 = 19, CALL_FROM_NETDEV6 = 20, CALL_COUNT = 24 };
MAP(cilium_calls, BPF_MAP_TYPE_PROG_ARRAY, __u32, __u32, CALL_COUNT);

static __always_inline const struct config *lookup_config(void)
{
	__u32 zero = 0;
	return map_lookup(&cilium_config, &zero);
}

static __always_inline const struct endpoint *lookup_endpoint(__be32 address)
{
	return map_lookup(&cilium_lxc, &address);
}
