/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* As nat.h. IPv6's header has no checksum, and ICMPv6's is over the addresses too. */
#pragma once
#include "conntrack6.h"
#include "nat.h"

#define ICMPV6_CSUM_OFF 2

static __always_inline __u32 l4_csum_offset6(__u8 proto)
{
	return proto == IPPROTO_ICMPV6 ? ICMPV6_CSUM_OFF : l4_csum_offset(proto);
}

/* What a one's complement sum changes by when an address in it does. */
static __always_inline __u32 sum_change6(const struct in6 *from, const struct in6 *to)
{
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += (__u64)(__u32)~from->w[i] + to->w[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

/* Writes an address, which must be on the stack, into the header. offset is IPV6_OFF(saddr) or IPV6_OFF(daddr). 0, or a drop reason. */
static __always_inline int
rewrite_addr6(struct __sk_buff *skb, const struct packet6 *packet, __u32 offset, const struct in6 *from, const struct in6 *to)
{
	__u32 csum = l4_csum_offset6(packet->l4.proto), change = sum_change6(from, to);

	if (skb_store_bytes(skb, offset, to, sizeof(*to), 0) < 0)
		return DROP_WRITE_ERROR;
	if (csum && l4_csum_replace(skb, packet->l4.l4_off + csum, 0, change, l4_csum_flags(packet->l4.proto) | BPF_F_PSEUDO_HDR) < 0)
		return DROP_CSUM_L4;
	return 0;
}

/* As reverse_quoted; here the quoted address is in ICMPv6's checksum, and nothing makes up for it. */
static __always_inline int reverse_quoted6(struct __sk_buff *skb, struct packet6 *packet, const struct lb6_reverse_nat *nat)
{
	__u32 inner = packet->l4.l4_off + 8, csum = packet->l4.l4_off + ICMPV6_CSUM_OFF, change = sum_change6(&packet->tuple.saddr, &nat->address);
	__be16 port = nat->port, old_port = packet->tuple.sport;

	if (skb_store_bytes(skb, inner + __builtin_offsetof(struct ipv6_header, daddr), &nat->address, sizeof(nat->address), 0) < 0 ||
	    skb_store_bytes(skb, inner + sizeof(struct ipv6_header) + 2, &port, 2, 0) < 0)
		return DROP_WRITE_ERROR;
	if (l4_csum_replace(skb, csum, 0, change, 0) < 0 || l4_csum_replace(skb, csum, old_port, port, 2) < 0)
		return DROP_CSUM_L4;
	return 0;
}

/* Gives a reply the service's address for its backend's; a service is known by its index. 0, or a drop reason. */
static __always_inline int
reverse_nat6(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet6 *packet, __u32 index)
{
	struct lb6_reverse_nat *nat, to;
	struct in6 saddr;
	int error;

#if defined(FAULT_NO_REVERSE_NAT) || defined(FAULT_IPV6_NO_REVERSE_NAT)
	return 0;
#endif
	debug(skb, config, source, DBG_LB6_REVERSE_NAT_LOOKUP, index, 0, 0);
	nat = map_lookup(&cilium_lb6_reverse_nat, &index);
	if (!nat)
		return 0;
	to = *nat;
	debug(skb, config, source, DBG_LB6_REVERSE_NAT, to.address.w[3], bpf_ntohs(to.port), 0);
	if (packet->l4.related) {
		error = reverse_quoted6(skb, packet, &to);
		if (error)
			return error;
		/* An error of a router on the way keeps its sender. */
		if (skb_load_bytes(skb, IPV6_OFF(saddr), &saddr, sizeof(saddr)) < 0)
			return DROP_INVALID;
		return same_addr6(&saddr, &packet->tuple.saddr) ? rewrite_addr6(skb, packet, IPV6_OFF(saddr), &saddr, &to.address) : 0;
	}
	error = rewrite_addr6(skb, packet, IPV6_OFF(saddr), &packet->tuple.saddr, &to.address);
	return error ? error : rewrite_port(skb, &packet->l4, 0, packet->tuple.sport, to.port);
}

/* What the client sent to itself: back to it. 0, or a drop reason. */
static __always_inline int reverse_loopback6(struct __sk_buff *skb, struct packet6 *packet, const struct in6 *client)
{
	return packet->l4.related ? 0 : rewrite_addr6(skb, packet, IPV6_OFF(daddr), &packet->tuple.daddr, client);
}
