/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What one program tells the next through a tail call, in skb->cb, and the packet's own account of itself. */
#pragma once
#include "maps.h"

/* cb[] slots. The same meaning in all programs, so that any may call any. */
enum {
	CB_SRC_IDENTITY = 0,
	CB_SOURCE = 1,       /* endpoint id of the sender, 0 the host; its flags (EP_…) or CB_NETDEV in the upper half */
	CB_TARGET = 2,       /* to deliver4 the address of the endpoint, to to_stack4 the observation point, to egress4 the client with CB_LOOPBACK, to to_proxy4 its port | CB_EGRESS, to send6 that or a node */
	CB_REV_NAT = 3,      /* service index | CB_LOOPBACK | CB_TUNNEL | CB_REPLY_ONLY | CB_PROXY | CB_TRACK */
	CB_STATE = 4,        /* conntrack state found at the sender << 24 | destination identity; to egress4 the identity of a prefix or 0; with CB_TUNNEL a node */
};
#define CB_NETDEV (1 << 24)      /* in CB_SOURCE: asked a service from outside of this node's own devices */
#define CB_PROXIED (1 << 25)     /* in CB_SOURCE: what the proxy sends on, by the receiver's policy */
#define CB_EGRESS (1 << 16)      /* in CB_TARGET: by the sender's policy */
#define CB_LOOPBACK (1 << 16)
#define CB_TUNNEL (1 << 17)      /* came from the world by way of another node: replies go back to it, whose NodePort the client asked */
#define CB_REPLY_ONLY (1 << 18)  /* to to_stack4: for the world, so that nothing but a reply may pass */
#define CB_PROXY (1 << 19)       /* to send6: for the proxy */
#define CB_TRACK (1 << 20)       /* to send6: a flow that conntrack doesn't know, or not as this service's */

/* Volatile: a merged 8 byte access to the context is refused by every verifier. */
static __always_inline __u32 cb_get(const struct __sk_buff *skb, int slot)
{
	return *(const volatile __u32 *)&skb->cb[slot];
}

static __always_inline void cb_set(struct __sk_buff *skb, int slot, __u32 value)
{
	*(volatile __u32 *)&skb->cb[slot] = value;
}

struct packet {
	struct ct_key tuple;  /* as in the packet; for an ICMP error the reverse of the packet it quotes */
	__u32 l4_off;
	__be16 dport;         /* of the packet itself, for policy: of ICMP the type */
	__u8 proto;           /* of the packet itself */
	__u8 ttl;
	__u8 tcp_flags;
	__u8 related;         /* an ICMP error that quotes a packet */
	__u16 check;
};

static __always_inline int load_ports(struct __sk_buff *skb, __u32 offset, struct ct_key *tuple)
{
	struct { __be16 sport, dport; } ports;

	if (skb_load_bytes(skb, offset, &ports, sizeof(ports)) < 0)
		return DROP_CT_INVALID_HDR;
	tuple->sport = ports.sport;
	tuple->dport = ports.dport;
	return 0;
}

/* Pings have no ports; as in Cilium the type stands for one, so that a reply is the request reversed. */
static __always_inline void echo_ports(__u8 type, struct ct_key *tuple)
{
	tuple->sport = type == ICMP_ECHOREPLY ? ICMP_ECHO : 0;
	tuple->dport = type == ICMP_ECHO ? ICMP_ECHO : 0;
}

/* An ICMP error is tracked as the reverse of the packet it quotes: it matches whatever entry an answer to that packet would. */
static __always_inline void load_quoted(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv4_header ip;
	struct ct_key quoted = {};
	__u32 offset = packet->l4_off + 8;
	__u8 type;

	/* An error goes to whom it quotes; any other could be steered to a flow of somebody else's. */
	if (skb_load_bytes(skb, offset, &ip, sizeof(ip)) < 0 || ip.saddr != packet->tuple.daddr)
		return;
	offset += (ip.version_ihl & 0xf) * 4;
	if (ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) {
		if (load_ports(skb, offset, &quoted) < 0)
			return;
	} else if (ip.protocol == IPPROTO_ICMP) {
		if (skb_load_bytes(skb, offset, &type, 1) < 0)
			return;
		echo_ports(type, &quoted);
	}
	packet->tuple.saddr = ip.daddr;
	packet->tuple.daddr = ip.saddr;
	packet->tuple.sport = quoted.dport;
	packet->tuple.dport = quoted.sport;
	packet->tuple.nexthdr = ip.protocol;
	packet->related = 1;
}

/* 0, or a drop reason. bpf_skb_load_bytes instead of direct access: it also reads what isn't in the linear part. */
static __always_inline int parse(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv4_header ip;
	__u8 type;

	if (skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || (ip.version_ihl & 0xf) < 5)
		return DROP_INVALID;
	packet->l4_off = ETH_HLEN + (ip.version_ihl & 0xf) * 4;
	packet->ttl = ip.ttl;
	packet->proto = ip.protocol;
	packet->check = ip.check;
	packet->tuple.saddr = ip.saddr;
	packet->tuple.daddr = ip.daddr;
	packet->tuple.nexthdr = ip.protocol;
	/* All but the first have no ports to tell the flow by, and the first is of no use without them. */
	if (ip.frag_off & IPV4_FRAGMENT)
#ifndef FAULT_FRAGMENTS_PASS
		return DROP_FRAGMENT;
#else
		return ip.frag_off & bpf_htons(0x1fff) ? DROP_CT_INVALID_HDR : 0;
#endif

	if (ip.protocol == IPPROTO_ICMP) {
		if (skb_load_bytes(skb, packet->l4_off, &type, 1) < 0)
			return DROP_CT_INVALID_HDR;
		echo_ports(type, &packet->tuple);
		packet->dport = bpf_htons(type);
#ifdef FAULT_NO_RELATED
		return 0;
#endif
		if (type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB)
			load_quoted(skb, packet);
		return 0;
	}
	if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP)
		return DROP_CT_UNKNOWN_PROTO;
	if (ip.protocol == IPPROTO_TCP && skb_load_bytes(skb, packet->l4_off + TCP_FLAGS_OFF, &packet->tcp_flags, 1) < 0)
		return DROP_CT_INVALID_HDR;
	if (load_ports(skb, packet->l4_off, &packet->tuple) < 0)
		return DROP_CT_INVALID_HDR;
	packet->dport = packet->tuple.dport;
	return 0;
}
