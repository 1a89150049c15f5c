/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Rewriting addresses and ports, checksums included. */
#pragma once
#include "conntrack.h"

/* 0 where a protocol has no checksum over addresses. */
static __always_inline __u32 l4_csum_offset(__u8 proto)
{
	return proto == IPPROTO_TCP ? TCP_CSUM_OFF : proto == IPPROTO_UDP ? UDP_CSUM_OFF : 0;
}

/* UDP's zero means "no checksum" and must stay so. */
static __always_inline __u64 l4_csum_flags(__u8 proto)
{
	return proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
}

/* Writes an address into the IPv4 header. offset is IPV4_OFF(saddr) or IPV4_OFF(daddr). 0, or a drop reason. */
static __always_inline int rewrite_addr(struct __sk_buff *skb, const struct packet *packet, __u32 offset, __be32 from, __be32 to)
{
	__u32 csum = l4_csum_offset(packet->proto);

	if (skb_store_bytes(skb, offset, &to, 4, 0) < 0)
		return DROP_WRITE_ERROR;
	if (l3_csum_replace(skb, IPV4_OFF(check), from, to, 4) < 0)
		return DROP_CSUM_L3;
	if (csum && l4_csum_replace(skb, packet->l4_off + csum, from, to, l4_csum_flags(packet->proto) | BPF_F_PSEUDO_HDR | 4) < 0)
		return DROP_CSUM_L4;
	return 0;
}

/* Writes a port of TCP or UDP; field is 0 for the source, 2 for the destination. */
static __always_inline int rewrite_port(struct __sk_buff *skb, const struct packet *packet, __u32 field, __be16 from, __be16 to)
{
	__u32 csum = l4_csum_offset(packet->proto);

	if (!csum || from == to)
		return 0;
	if (skb_store_bytes(skb, packet->l4_off + field, &to, 2, 0) < 0)
		return DROP_WRITE_ERROR;
	if (l4_csum_replace(skb, packet->l4_off + csum, from, to, l4_csum_flags(packet->proto) | 2) < 0)
		return DROP_CSUM_L4;
	return 0;
}

/*
 * An ICMP error quotes the packet as the backend saw it; the sender's stack knows only the service. Rewrites the quoted destination.
 * The quoted address and the quoted header's checksum change by opposite amounts, so ICMP's own checksum sees the ports alone;
 * a quoted UDP checksum is left stale, nobody checks it.
 */
static __always_inline int reverse_quoted(struct __sk_buff *skb, struct packet *packet, const struct lb4_reverse_nat *nat)
{
	__u32 inner = packet->l4_off + 8;
	__be32 to = nat->address, from = packet->tuple.saddr;
	__be16 port = nat->port, old_port = packet->tuple.sport;
	__u8 ihl;

	if (skb_load_bytes(skb, inner, &ihl, 1) < 0)
		return DROP_INVALID;
	if (l3_csum_replace(skb, inner + __builtin_offsetof(struct ipv4_header, check), from, to, 4) < 0)
		return DROP_CSUM_L3;
	if (skb_store_bytes(skb, inner + __builtin_offsetof(struct ipv4_header, daddr), &to, 4, 0) < 0 ||
	    skb_store_bytes(skb, inner + (ihl & 0xf) * 4 + 2, &port, 2, 0) < 0)
		return DROP_WRITE_ERROR;
	if (l4_csum_replace(skb, packet->l4_off + ICMP_CSUM_OFF, old_port, port, 2) < 0)
		return DROP_CSUM_L4;
	return 0;
}

/* Gives a reply the service's address for its backend's, and back to its client what it sent to itself. 0, or a drop reason. */
static __always_inline int
reverse_nat(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet *packet, const struct ct_state *state)
{
	__u32 index = state->rev_nat_index;
	struct lb4_reverse_nat *nat, to;
	__be32 saddr;
	int error;

	if (!index)
		return 0;
#ifdef FAULT_NO_REVERSE_NAT
	return 0;
#endif
	debug(skb, config, source, DBG_LB4_REVERSE_NAT_LOOKUP, index, 0, 0);
	nat = map_lookup(&cilium_lb4_reverse_nat, &index);
	if (!nat)
		return 0;
	to = *nat;
	debug(skb, config, source, DBG_LB4_REVERSE_NAT, to.address, bpf_ntohs(to.port), 0);
	if (packet->related) {
		error = reverse_quoted(skb, packet, &to);
		if (error)
			return error;
		/* An error of a router on the way keeps its sender. */
		if (skb_load_bytes(skb, IPV4_OFF(saddr), &saddr, 4) < 0)
			return DROP_INVALID;
		if (saddr != packet->tuple.saddr)
			return 0;
		return rewrite_addr(skb, packet, IPV4_OFF(saddr), saddr, to.address);
	}
	error = rewrite_addr(skb, packet, IPV4_OFF(saddr), packet->tuple.saddr, to.address);
	if (error)
		return error;
	error = rewrite_port(skb, packet, 0, packet->tuple.sport, to.port);
	if (error || !(state->flags & CT_LOOPBACK))
		return error;
	debug(skb, config, source, DBG_LB4_LOOPBACK_SNAT_REV, LOOPBACK_ADDR, state->client, 0);
	return rewrite_addr(skb, packet, IPV4_OFF(daddr), LOOPBACK_ADDR, state->client);
}
