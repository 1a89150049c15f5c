/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What arp.h does for IPv4: whatever address a pod solicits has the node side's MAC (RFC 4861). */
#pragma once
#include "ip6.h"

/* A solicitation or advertisement with its one option, the sender's or the target's link-layer address. */
struct neighbour_message {
	__u8 type, code;
	__u16 check;
	__be32 flags;
	struct in6 target;
	__u8 option, option_units;
	__u8 mac[6];
};
#define NDP_OFF (ETH_HLEN + sizeof(struct ipv6_header))
enum { OPTION_TARGET = 2 };
#define NDP_ROUTER_SOLICITED_OVERRIDE bpf_htonl(0xe0000000)

/* One's complement sums are the same in any byte order, and over any width. */
static __always_inline __u64 sum_words(const void *from, int words)
{
	const __u32 *word = from;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < words; i++)
		sum += word[i];
	return sum;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Answers a pod's solicitation out of the interface it came from. One without a sender is an address check and goes no further. */
static __always_inline int
ndp_respond(struct __sk_buff *skb, const struct config *config, const struct endpoint *endpoint, const struct ipv6_header *ip)
{
	struct neighbour_message message;
	struct { struct in6 saddr, daddr; } addresses;
	struct eth_header eth;

	if (!(ip->saddr.w[0] | ip->saddr.w[1] | ip->saddr.w[2] | ip->saddr.w[3]))
		return TC_ACT_SHOT;
	if (ip->payload_len != bpf_htons(sizeof(message)) || skb_load_bytes(skb, NDP_OFF, &message, sizeof(message)) < 0)
		return DROP_INVALID;

	__builtin_memcpy(eth.dst, endpoint->mac, 6);
	__builtin_memcpy(eth.src, endpoint->node_mac, 6);
	eth.proto = bpf_htons(ETH_P_IPV6);
	addresses.saddr = message.target;
	addresses.daddr = ip->saddr;
	message.type = ICMPV6_ADVERTISEMENT;
	message.check = 0;
	message.flags = NDP_ROUTER_SOLICITED_OVERRIDE;
	message.option = OPTION_TARGET;
	__builtin_memcpy(message.mac, endpoint->node_mac, 6);
	message.check = fold(sum_words(&addresses, 8) + sum_words(&message, 8) + bpf_htonl(sizeof(message)) + bpf_htonl(IPPROTO_ICMPV6));
	if (skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) < 0 || skb_store_bytes(skb, IPV6_OFF(saddr), &addresses, sizeof(addresses), 0) < 0 ||
	    skb_store_bytes(skb, NDP_OFF, &message, sizeof(message), 0) < 0)
		return DROP_WRITE_ERROR;
	debug_capture(skb, config, endpoint->id, DBG_CAPTURE_DELIVERY, endpoint->ifindex);
	return redirect(endpoint->ifindex, 0);
}
