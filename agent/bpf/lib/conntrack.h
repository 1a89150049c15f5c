/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Connection tracking: one entry a flow, direction and node; an entry's key is the flow's first packet. */
#pragma once
#include "flow.h"
#include "notify.h"

enum { CT_EGRESS, CT_INGRESS };
enum { CT_NEW = 0, CT_ESTABLISHED = 1, CT_REPLY = 2, CT_RELATED = 3 };
enum { LIFETIME_TCP = 21600, LIFETIME_SYN = 60, LIFETIME_CLOSE = 10, LIFETIME_OTHER = 60 };

struct ct_state {
	__u16 rev_nat_index;
	__u16 flags;          /* CT_LOOPBACK, CT_RETURN or 0 */
	__be32 client;        /* with CT_LOOPBACK who LOOPBACK_ADDR stands for, with CT_RETURN the node that replies go back by, 0 for this one */
	__be16 proxy_port;    /* the flow is the proxy's: where it listens; else 0 */
};

static __always_inline __u32 now_seconds(void)
{
	return ktime_get_ns() / 1000000000ULL;
}

static __always_inline void ct_reverse(struct ct_key *to, const struct ct_key *from)
{
	to->daddr = from->saddr;
	to->saddr = from->daddr;
	to->dport = from->sport;
	to->sport = from->dport;
	to->nexthdr = from->nexthdr;
}

static __always_inline _Bool is_syn(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Whether the entry still speaks for this packet: not past its time, and no new connection on the ports of a closed one. */
static __always_inline _Bool ct_alive(const struct ct_entry *entry, const struct packet *packet, __u32 now)
{
	const __u16 closed = CT_RX_CLOSING | CT_TX_CLOSING;

	keep_base(entry);
	return entry->lifetime >= now && !(is_syn(packet) && (entry->flags & closed) == closed);
}

static __always_inline __u32 ct_lifetime(const struct packet *packet, __u16 flags)
{
	if (packet->proto != IPPROTO_TCP)
		return LIFETIME_OTHER;
	/* A service's entry sees the client's half only, which may go on acknowledging after its FIN. */
	if (packet->tuple.flags == CT_F_SERVICE && flags & (CT_RX_CLOSING | CT_TX_CLOSING))
		return LIFETIME_SYN;
	if ((flags & (CT_RX_CLOSING | CT_TX_CLOSING)) == (CT_RX_CLOSING | CT_TX_CLOSING))
		return LIFETIME_CLOSE;
	return flags & CT_SEEN_NON_SYN ? LIFETIME_TCP : LIFETIME_SYN;
}

static __always_inline void ct_account(struct __sk_buff *skb, struct ct_entry *entry, const struct packet *packet, int dir, __u32 now)
{
	__u16 flags;

	keep_base(entry);
	flags = entry->flags;
	if (dir == CT_INGRESS) {
		__sync_fetch_and_add(&entry->rx_packets, 1);
		__sync_fetch_and_add(&entry->rx_bytes, skb->len);
	} else {
		__sync_fetch_and_add(&entry->tx_packets, 1);
		__sync_fetch_and_add(&entry->tx_bytes, skb->len);
	}
	if (packet->related)
		return;
	if (packet->proto == IPPROTO_TCP) {
		if (packet->tcp_flags & TCP_RST)
			flags |= CT_RX_CLOSING | CT_TX_CLOSING;
		else if (packet->tcp_flags & TCP_FIN)
			flags |= dir == CT_INGRESS ? CT_RX_CLOSING : CT_TX_CLOSING;
		if (!(packet->tcp_flags & TCP_SYN))
			flags |= CT_SEEN_NON_SYN;
		entry->flags = flags;
	}
	entry->lifetime = now + ct_lifetime(packet, flags);
}

/*
 * The state of the packet's flow as seen in direction dir. The reverse key goes first: a reply must not be taken for an
 * established flow of its own, which would be subject to policy.
 */
static __always_inline int
ct_lookup(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet *packet, int dir, struct ct_state *state)
{
	struct ct_key key = {};
	struct ct_entry *entry;
	__u32 now = now_seconds();
	int result = packet->related ? CT_RELATED : CT_REPLY;

	ct_reverse(&key, &packet->tuple);
	key.flags = dir == CT_EGRESS ? CT_F_IN : CT_F_OUT;
	debug(skb, config, source, DBG_CT_LOOKUP4_1, packet->tuple.saddr, packet->tuple.daddr,
	      (__u32)bpf_ntohs(packet->tuple.sport) << 16 | bpf_ntohs(packet->tuple.dport));
	debug(skb, config, source, DBG_CT_LOOKUP4_2, packet->tuple.nexthdr << 8 | key.flags, dir == CT_EGRESS, 0);

	entry = map_lookup(&cilium_ct4_global, &key);
	if (!entry || !ct_alive(entry, packet, now)) {
		result = packet->related ? CT_RELATED : CT_ESTABLISHED;
		packet->tuple.flags = dir == CT_EGRESS ? CT_F_OUT : CT_F_IN;
		entry = map_lookup(&cilium_ct4_global, &packet->tuple);
		if (!entry || !ct_alive(entry, packet, now)) {
			debug(skb, config, source, DBG_CT_VERDICT, CT_NEW, 0, 0);
			return CT_NEW;
		}
	}
	keep_base(entry);
	debug(skb, config, source, DBG_CT_MATCH, entry->lifetime, entry->rev_nat_index, 0);
	state->rev_nat_index = entry->rev_nat_index;
	state->flags = entry->flags & (CT_LOOPBACK | CT_RETURN);
	state->client = entry->backend_addr;
	state->proxy_port = entry->flags & CT_PROXY ? entry->backend_port : 0;
	ct_account(skb, entry, packet, dir, now);
	debug(skb, config, source, DBG_CT_VERDICT, result, state->rev_nat_index, 0);
	return result;
}

/* 0, or a drop reason. */
static __always_inline int
ct_create(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet *packet, int dir,
	  const struct ct_state *state, __u32 identity)
{
	struct ct_entry entry = {
		.flags = state->flags | (state->proxy_port ? CT_PROXY : 0), .rev_nat_index = state->rev_nat_index, .src_sec_id = identity,
		.backend_addr = state->client, .backend_port = state->proxy_port,
	};

	packet->tuple.flags = dir == CT_EGRESS ? CT_F_OUT : CT_F_IN;
	ct_account(skb, &entry, packet, dir, now_seconds());
	if (map_update(&cilium_ct4_global, &packet->tuple, &entry, BPF_ANY) < 0)
		return DROP_CT_CREATE_FAILED;
	debug(skb, config, source, DBG_CT_CREATED4, state->rev_nat_index, identity, 0);
	return 0;
}

/* Forgets a flow that policy no longer allows, so that its replies stop too. */
static __always_inline void ct_forget(struct packet *packet, int dir)
{
	packet->tuple.flags = dir == CT_EGRESS ? CT_F_OUT : CT_F_IN;
	map_delete(&cilium_ct4_global, &packet->tuple);
}
