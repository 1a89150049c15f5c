/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Pods route everything to a router that exists only here: whatever address they ask for has the node side's MAC. */
#pragma once
#include "notify.h"

struct arp_ipv4 {
	__be16 hw_type, proto;
	__u8 hw_len, proto_len;
	__be16 op;
	__u8 sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
};
#define ARP_REQUEST bpf_htons(1)
#define ARP_REPLY bpf_htons(2)

/* Answers a request out of the interface it came from; anything else of ARP goes no further. */
static __always_inline int arp_respond(struct __sk_buff *skb, const struct config *config, const struct endpoint *endpoint, __be32 own_addr)
{
	struct { struct eth_header eth; struct arp_ipv4 arp; } frame, reply;
	__be32 target;

	if (skb_load_bytes(skb, 0, &frame, sizeof(frame)) < 0 || frame.arp.op != ARP_REQUEST)
		return TC_ACT_SHOT;
	__builtin_memcpy(&target, frame.arp.target_ip, 4);
	if (target == own_addr)
		return TC_ACT_SHOT; /* address probe or announcement */

	reply = frame;
	__builtin_memcpy(reply.eth.dst, frame.eth.src, 6);
	__builtin_memcpy(reply.eth.src, endpoint->node_mac, 6);
	reply.arp.op = ARP_REPLY;
	__builtin_memcpy(reply.arp.sender_mac, endpoint->node_mac, 6);
	__builtin_memcpy(reply.arp.sender_ip, frame.arp.target_ip, 4);
	__builtin_memcpy(reply.arp.target_mac, frame.arp.sender_mac, 6);
	__builtin_memcpy(reply.arp.target_ip, frame.arp.sender_ip, 4);
	if (skb_store_bytes(skb, 0, &reply, sizeof(reply), 0) < 0)
		return drop(skb, DROP_WRITE_ERROR, METRIC_EGRESS, endpoint->id, endpoint->identity, 0, 0);
	debug_capture(skb, config, endpoint->id, DBG_CAPTURE_DELIVERY, endpoint->ifindex);
	return redirect(endpoint->ifindex, 0);
}
