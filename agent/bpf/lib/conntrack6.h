/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Connection tracking of IPv6 flows: as conntrack.h, whose times it shares. Who a pod's own address stands for is not remembered: lb6.h. */
#pragma once
#include "conntrack.h"
#include "ip6.h"

static __always_inline void ct6_reverse(struct ct6_key *to, const struct ct6_key *from)
{
	to->daddr = from->saddr;
	to->saddr = from->daddr;
	to->dport = from->sport;
	to->sport = from->dport;
	to->nexthdr = from->nexthdr;
}

/* The state of the packet's flow as seen in direction dir, the reverse key first. */
static __always_inline int
ct6_lookup(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet6 *packet, int dir, struct ct_state *state)
{
	struct ct6_key key = {};
	struct ct6_entry *entry;
	__u32 now = now_seconds();
	int result = packet->l4.related ? CT_RELATED : CT_REPLY;

	ct6_reverse(&key, &packet->tuple);
	key.flags = dir == CT_EGRESS ? CT_F_IN : CT_F_OUT;
	debug(skb, config, source, DBG_CT_LOOKUP6_1, packet->tuple.saddr.w[3], packet->tuple.daddr.w[3],
	      (__u32)bpf_ntohs(packet->tuple.sport) << 16 | bpf_ntohs(packet->tuple.dport));
	debug(skb, config, source, DBG_CT_LOOKUP6_2, packet->tuple.nexthdr << 8 | key.flags, dir == CT_EGRESS, 0);

	entry = map_lookup(&cilium_ct6_global, &key);
	if (!entry || !ct_alive(&entry->flow, &packet->l4, now)) {
		result = packet->l4.related ? CT_RELATED : CT_ESTABLISHED;
		packet->tuple.flags = dir == CT_EGRESS ? CT_F_OUT : CT_F_IN;
		entry = map_lookup(&cilium_ct6_global, &packet->tuple);
		if (!entry || !ct_alive(&entry->flow, &packet->l4, now)) {
			debug(skb, config, source, DBG_CT_VERDICT, CT_NEW, 0, 0);
			return CT_NEW;
		}
	}
	keep_base(entry);
	state->rev_nat_index = entry->flow.rev_nat_index;
	state->flags = entry->flow.flags & (CT_LOOPBACK | CT_RETURN);
	state->client = entry->flow.backend_addr;
	state->proxy_port = entry->flow.flags & CT_PROXY ? entry->flow.backend_port : 0;
	ct_account(skb, &entry->flow, &packet->l4, dir, now);
	debug(skb, config, source, DBG_CT_VERDICT, result, state->rev_nat_index, 0);
	return result;
}

/* 0, or a drop reason. */
static __always_inline int
ct6_create(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet6 *packet, int dir,
	   const struct ct_state *state, __u32 identity)
{
	struct ct6_entry entry = { .flow = {
		.flags = state->flags | (state->proxy_port ? CT_PROXY : 0), .rev_nat_index = state->rev_nat_index, .src_sec_id = identity,
		.backend_addr = state->client, .backend_port = state->proxy_port,
	} };

	packet->tuple.flags = dir == CT_EGRESS ? CT_F_OUT : CT_F_IN;
	ct_account(skb, &entry.flow, &packet->l4, dir, now_seconds());
	if (map_update(&cilium_ct6_global, &packet->tuple, &entry, BPF_ANY) < 0)
		return DROP_CT_CREATE_FAILED;
	debug(skb, config, source, DBG_CT_CREATED6, state->rev_nat_index, identity, 0);
	return 0;
}

/* Forgets a flow that policy no longer allows, so that its replies stop too. */
static __always_inline void ct6_forget(struct packet6 *packet, int dir)
{
	packet->tuple.flags = dir == CT_EGRESS ? CT_F_OUT : CT_F_IN;
	map_delete(&cilium_ct6_global, &packet->tuple);
}
