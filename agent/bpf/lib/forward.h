/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The ways out of a program. */
#pragma once
#include "nat.h"

static __always_inline int decrement_ttl(struct __sk_buff *skb, __u8 ttl)
{
	/* The checksum is over 16-bit words: the TTL is the upper byte of its. */
	__u8 less = ttl - 1;

	if (ttl <= 1)
		return DROP_INVALID;
	if (l3_csum_replace(skb, IPV4_OFF(check), ttl, less, 2) < 0)
		return DROP_CSUM_L3;
	return skb_store_bytes(skb, IPV4_OFF(ttl), &less, 1, 0) < 0 ? DROP_WRITE_ERROR : 0;
}

/* Node whose pod prefix an address is in, or that has it, or 0. */
static __always_inline __be32 tunnel_endpoint(const struct config *config, __be32 address)
{
	__be32 prefix = address & config->pod_mask, *node;

	node = map_lookup(&cilium_tunnel_map, &address);
	if (node)
		return *node;
	node = map_lookup(&cilium_tunnel_map, &prefix);
	return node ? *node : 0;
}

/* The tunnel's network identifier carries the sender's identity. TC verdict, or a drop reason. */
static __always_inline int encapsulate(struct __sk_buff *skb, const struct config *config, __u16 source, __be32 node, __u32 identity)
{
	/* What a number of this node's own means is known here only. */
	struct bpf_tunnel_key key = { .tunnel_id = identity < LOCAL_ID ? identity : WORLD_ID, .remote_ipv4 = bpf_ntohl(node), .tunnel_ttl = 64 };

#ifdef FAULT_WRONG_VNI
	key.tunnel_id = identity + 1;
#endif
#ifdef FAULT_TUNNEL_BYPASS
	return TC_ACT_OK; /* the loader sees the fault and routes remote prefixes by the node's device */
#endif
	debug(skb, config, source, DBG_ENCAP, key.remote_ipv4, identity, 0);
	if (skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX) < 0)
		return DROP_WRITE_ERROR;
	return redirect(config->overlay_ifindex, 0);
}
