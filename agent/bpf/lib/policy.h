/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Who may talk to whom: from the most specific entry to the least, the first that matches allows, or has the proxy decide. */
#pragma once
#include "flow.h"
#include "notify.h"

/* The entry's proxy port (in network order; 0: none), or -1 when there is no such entry. */
static __always_inline int policy_match(struct __sk_buff *skb, struct policy_key *key, __u32 identity, __be16 dport, __u8 proto)
{
	struct policy_entry *entry;

	key->identity = identity;
	key->dport = dport;
	key->proto = proto;
	entry = map_lookup(&cilium_policy, key);
	if (!entry)
		return -1;
	keep_base(entry);
	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, skb->len);
	return entry->proxy_port;
}

/* 0 for allowed, a port of the proxy, or DROP_POLICY. The caller has checked that policy is enforced at all. */
static __always_inline int
policy_verdict(struct __sk_buff *skb, const struct packet *packet, __u16 endpoint, __u8 egress, __u32 identity)
{
	struct policy_key key = { .endpoint = endpoint, .egress = egress };
	int port;

	if ((port = policy_match(skb, &key, identity, packet->dport, packet->proto)) >= 0 ||
	    (port = policy_match(skb, &key, 0, packet->dport, packet->proto)) >= 0 ||
	    (port = policy_match(skb, &key, identity, 0, packet->proto)) >= 0 ||
	    (port = policy_match(skb, &key, 0, 0, packet->proto)) >= 0 ||
	    (port = policy_match(skb, &key, identity, 0, 0)) >= 0 ||
	    (port = policy_match(skb, &key, 0, 0, 0)) >= 0)
		return port;
#ifdef FAULT_POLICY_FORGETS_DROP
	return 0;
#endif
	return DROP_POLICY;
}
