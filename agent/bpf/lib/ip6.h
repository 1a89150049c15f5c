/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* IPv6 packets, and the maps that have IPv6 addresses. Whatever isn't of addresses (policy, endpoints' flags, flow state) is IPv4's. */
#pragma once
#include "flow.h"
#include "notify.h"

enum { IPPROTO_ICMPV6 = 58 };
enum { NEXTHDR_HOP = 0, NEXTHDR_ROUTING = 43, NEXTHDR_FRAGMENT = 44, NEXTHDR_AUTH = 51, NEXTHDR_NONE = 59, NEXTHDR_DEST = 60 };
enum { ICMPV6_PARAMETERPROB = 4, ICMPV6_ECHO = 128, ICMPV6_ECHOREPLY = 129, ICMPV6_SOLICITATION = 135, ICMPV6_ADVERTISEMENT = 136 };
enum { DROP_INVALID_DMAC = -131, DROP_INVALID_EXTHDR = -156 };
/* Extension headers that a packet may have before its transport's, as in Cilium. */
#define MAX_EXTENSIONS 4

#define IPV6_OFF(FIELD) (ETH_HLEN + __builtin_offsetof(struct ipv6_header, FIELD))

/* Nodes have a /96 each of the cluster's /64. One entry; zeros where the agent was told to leave IPv6 alone. */
struct config6 {
	__u32 enabled;
	__be32 prefix[3];  /* of this node's pods */
};
MAP(cilium_config6, BPF_MAP_TYPE_ARRAY, __u32, struct config6, 1);

/* Each endpoint with an IPv6 address, and the host's own, as they are in cilium_lxc. */
MAP(cilium_lxc6, BPF_MAP_TYPE_HASH, struct in6, struct endpoint, 2048);
MAP(cilium_ipcache6, BPF_MAP_TYPE_HASH, struct in6, struct remote_endpoint, 16384);
/* Key: a node's pod prefix. */
MAP(cilium_tunnel_map6, BPF_MAP_TYPE_HASH, struct in6, __be32, 4096);

struct ct6_key {
	struct in6 daddr, saddr;
	__be16 dport, sport;
	__u8 nexthdr;
	__u8 flags;
	__u16 pad;
};
struct ct6_entry {
	struct ct_entry flow;
	struct in6 backend;  /* of CT_F_SERVICE entries */
};
MAP(cilium_ct6_global, BPF_MAP_TYPE_HASH, struct ct6_key, struct ct6_entry, 32768);

/* As those of IPv4's services, in maps.h. */
struct lb6_key {
	struct in6 address;
	__be16 dport;
	__u16 slave;
	__u8 proto;
	__u8 pad[3];
};
struct lb6_service {
	struct in6 target;
	__be16 port;
	__u16 count;
	__u16 rev_nat_index;
	__u16 pad;
	__u32 affinity;
};
MAP(cilium_lb6_services, BPF_MAP_TYPE_HASH, struct lb6_key, struct lb6_service, 16384);

struct lb6_reverse_nat { struct in6 address; __be16 port; __u16 pad; };
MAP(cilium_lb6_reverse_nat, BPF_MAP_TYPE_HASH, __u32, struct lb6_reverse_nat, 16384);

struct lb6_backend_key { struct in6 address; __be16 port; __u16 rev_nat_index; };
MAP(cilium_lb6_backends, BPF_MAP_TYPE_HASH, struct lb6_backend_key, __u32, 16384);

struct lb6_affinity_key { struct in6 client; __u16 rev_nat_index; __u16 pad; };
struct lb6_affinity { struct in6 address; __be16 port; __u16 pad; __u32 last_used; };
MAP(cilium_lb6_affinity, BPF_MAP_TYPE_HASH, struct lb6_affinity_key, struct lb6_affinity, 16384);

/* As cilium_proxy4. Of the addresses that the proxy's socket sees only the last words differ: proxy6.h. */
struct proxy6_key { __be32 client, server; __be16 sport, dport; };
struct proxy6_flow {
	struct in6 saddr, daddr;
	__be16 dport;
	__u16 egress;
	__u32 src_identity, dst_identity;
};
MAP(cilium_proxy6, BPF_MAP_TYPE_HASH, struct proxy6_key, struct proxy6_flow, 16384);

struct packet6 {
	struct packet l4;      /* its tuple is not used */
	struct ct6_key tuple;  /* as in the packet; for an ICMPv6 error the reverse of the packet it quotes */
};

static __always_inline const struct config6 *lookup_config6(void)
{
	__u32 zero = 0;
	return map_lookup(&cilium_config6, &zero);
}

static __always_inline const struct endpoint *lookup_endpoint6(const struct in6 *address)
{
	return map_lookup(&cilium_lxc6, address);
}

static __always_inline _Bool same_addr6(const struct in6 *a, const struct in6 *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

/* The numbers in a node's /96 that are no pod's: pods have those of their IPv4 addresses in the pod CIDR, from 2 on. */
enum { NUMBER_ROUTER = 1, NUMBER_LOOPBACK = 0xffffffff };

static __always_inline struct in6 node_address6(const struct config6 *config6, __u32 number)
{
	struct in6 address = { .w = { config6->prefix[0], config6->prefix[1], config6->prefix[2], bpf_htonl(number) } };

	return address;
}

/* Whom a pod sees that reaches itself through its own service: LOOPBACK_ADDR of IPv6. */
static __always_inline _Bool is_loopback6(const struct config6 *config6, const struct in6 *address)
{
	const struct in6 loopback = node_address6(config6, NUMBER_LOOPBACK);

	return same_addr6(address, &loopback);
}

/* Multicast and link-local addresses mean something on one link only: here that is a pod's veth, or the host's own pair. */
static __always_inline _Bool is_link_scope(const struct in6 *a)
{
	return (a->w[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) || (a->w[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* Goes past extension headers. 0, or a drop reason. */
static __always_inline int find_transport(struct __sk_buff *skb, __u32 *offset, __u8 *nexthdr)
{
	struct { __u8 nexthdr, len; } extension;

#pragma unroll
	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		if (*nexthdr == NEXTHDR_FRAGMENT)
			return DROP_FRAGMENT;
		if (*nexthdr == NEXTHDR_NONE)
			return DROP_INVALID_EXTHDR;
		if (*nexthdr != NEXTHDR_HOP && *nexthdr != NEXTHDR_ROUTING && *nexthdr != NEXTHDR_DEST && *nexthdr != NEXTHDR_AUTH)
			return 0;
		if (skb_load_bytes(skb, *offset, &extension, sizeof(extension)) < 0)
			return DROP_INVALID;
		*offset += *nexthdr == NEXTHDR_AUTH ? (extension.len + 2) * 4 : (extension.len + 1) * 8;
		*nexthdr = extension.nexthdr;
	}
	return DROP_INVALID_EXTHDR;
}

static __always_inline int load_ports6(struct __sk_buff *skb, __u32 offset, struct ct6_key *tuple)
{
	struct { __be16 sport, dport; } ports;

	if (skb_load_bytes(skb, offset, &ports, sizeof(ports)) < 0)
		return DROP_CT_INVALID_HDR;
	tuple->sport = ports.sport;
	tuple->dport = ports.dport;
	return 0;
}

/* As echo_ports. */
static __always_inline void echo_ports6(__u8 type, struct ct6_key *tuple)
{
	tuple->sport = type == ICMPV6_ECHOREPLY ? ICMPV6_ECHO : 0;
	tuple->dport = type == ICMPV6_ECHO ? ICMPV6_ECHO : 0;
}

/* As load_quoted. What is quoted with extension headers is not looked for. */
static __always_inline void load_quoted6(struct __sk_buff *skb, struct packet6 *packet)
{
	struct ipv6_header ip;
	struct ct6_key quoted = {};
	__u32 offset = packet->l4.l4_off + 8;
	__u8 type;

	if (skb_load_bytes(skb, offset, &ip, sizeof(ip)) < 0 || !same_addr6(&ip.saddr, &packet->tuple.daddr))
		return;
	offset += sizeof(ip);
	if (ip.nexthdr == IPPROTO_TCP || ip.nexthdr == IPPROTO_UDP) {
		if (load_ports6(skb, offset, &quoted) < 0)
			return;
	} else if (ip.nexthdr == IPPROTO_ICMPV6) {
		if (skb_load_bytes(skb, offset, &type, 1) < 0)
			return;
		echo_ports6(type, &quoted);
	} else {
		return;
	}
	packet->tuple.saddr = ip.daddr;
	packet->tuple.daddr = ip.saddr;
	packet->tuple.sport = quoted.dport;
	packet->tuple.dport = quoted.sport;
	packet->tuple.nexthdr = ip.nexthdr;
	packet->l4.related = 1;
}

/* 0, or a drop reason. */
static __always_inline int parse6(struct __sk_buff *skb, struct packet6 *packet)
{
	struct ipv6_header ip;
	__u32 offset = ETH_HLEN + sizeof(ip);
	__u8 type;
	int error;

	if (skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return DROP_INVALID;
	error = find_transport(skb, &offset, &ip.nexthdr);
	if (error)
		return error;
	packet->l4.l4_off = offset;
	packet->l4.ttl = ip.hop_limit;
	packet->l4.proto = ip.nexthdr;
	packet->tuple.saddr = ip.saddr;
	packet->tuple.daddr = ip.daddr;
	packet->tuple.nexthdr = ip.nexthdr;

	if (ip.nexthdr == IPPROTO_ICMPV6) {
		if (skb_load_bytes(skb, offset, &type, 1) < 0)
			return DROP_CT_INVALID_HDR;
		echo_ports6(type, &packet->tuple);
		packet->l4.dport = bpf_htons(type);
#ifdef FAULT_NO_RELATED
		return 0;
#endif
		if (type >= 1 && type <= ICMPV6_PARAMETERPROB)
			load_quoted6(skb, packet);
		return 0;
	}
	if (ip.nexthdr != IPPROTO_TCP && ip.nexthdr != IPPROTO_UDP)
		return DROP_CT_UNKNOWN_PROTO;
	if (ip.nexthdr == IPPROTO_TCP && skb_load_bytes(skb, offset + TCP_FLAGS_OFF, &packet->l4.tcp_flags, 1) < 0)
		return DROP_CT_INVALID_HDR;
	if (load_ports6(skb, offset, &packet->tuple) < 0)
		return DROP_CT_INVALID_HDR;
	packet->l4.dport = packet->tuple.dport;
	return 0;
}
