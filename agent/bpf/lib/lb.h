/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Services: choosing a backend, and remembering the choice. */
#pragma once
#include "nat.h"

struct backend {
	__be32 address;
	__be16 port;
};

static __always_inline _Bool backend_exists(__be32 address, __be16 port, __u16 rev_nat_index)
{
	struct lb4_backend_key key = { .address = address, .port = port, .rev_nat_index = rev_nat_index };

	return map_lookup(&cilium_lb4_backends, &key) != NULL;
}

/* A TCP connection can't move to another backend: it stays, even when its service wants no new ones there. */
static __always_inline _Bool is_established(const struct ct_entry *entry, const struct packet *packet)
{
	keep_base(entry);
	return packet->proto == IPPROTO_TCP && !is_syn(packet) && entry->flags & CT_SEEN_NON_SYN;
}

/* The backend that this client had last, if the service has affinity and it is still there. */
static __always_inline _Bool
affine_backend(const struct packet *packet, __u16 rev_nat_index, __u32 affinity, __u32 now, struct backend *backend)
{
	struct lb4_affinity_key key = { .client = packet->tuple.saddr, .rev_nat_index = rev_nat_index };
	struct lb4_affinity *found = map_lookup(&cilium_lb4_affinity, &key);

#ifdef FAULT_FORGETS_AFFINITY
	return 0;
#endif
	if (!found)
		return 0;
	keep_base(found);
	if (found->last_used + affinity < now)
		return 0;
	backend->address = found->address;
	backend->port = found->port;
	found->last_used = now;
	return backend_exists(backend->address, backend->port, rev_nat_index);
}

/* A full map costs the client its affinity, not its connection. */
static __always_inline void
remember_backend(const struct packet *packet, __u16 rev_nat_index, __u32 now, const struct backend *backend)
{
	struct lb4_affinity_key key = { .client = packet->tuple.saddr, .rev_nat_index = rev_nat_index };
	struct lb4_affinity value = { .address = backend->address, .port = backend->port, .last_used = now };

	map_update(&cilium_lb4_affinity, &key, &value, BPF_ANY);
}

/* 0, or a drop reason. key is the service's, and is changed. */
static __always_inline int
select_backend(struct __sk_buff *skb, const struct config *config, __u16 source, struct lb4_key *key, __u32 count, struct backend *backend)
{
	struct lb4_service *slot;

	/* Random rather than by hash: conntrack makes the choice last, and a flow hash is weak when one client differs in ports only. */
	key->slave = get_prandom_u32() % count + 1;
#ifdef FAULT_SERVICE_ONE_BACKEND
	key->slave = 1;
#endif
	debug(skb, config, source, DBG_LB4_LOOKUP_SLAVE, key->slave, bpf_ntohs(key->dport), 0);
	slot = map_lookup(&cilium_lb4_services, key);
	if (!slot)
		return DROP_NO_SERVICE;
	backend->address = slot->target;
	backend->port = slot->port;
	debug(skb, config, source, DBG_LB4_LOOKUP_SLAVE_SUCCESS, slot->target, bpf_ntohs(slot->port), 0);
	return 0;
}

/* The backend of this flow: the one it had, or a new one. 0, or a drop reason. */
static __always_inline int
flow_backend(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet *packet, struct lb4_key *key,
	     const struct lb4_service *service, struct backend *backend)
{
	struct ct_entry *entry, fresh = { .rev_nat_index = service->rev_nat_index };
	__u32 now = now_seconds(), count = service->count, affinity = service->affinity;
	int error;

	packet->tuple.flags = CT_F_SERVICE;
	entry = map_lookup(&cilium_ct4_global, &packet->tuple);
	if (entry && ct_alive(entry, packet, now) && entry->rev_nat_index == fresh.rev_nat_index &&
	    (is_established(entry, packet) || backend_exists(entry->backend_addr, entry->backend_port, entry->rev_nat_index))) {
		ct_account(skb, entry, packet, CT_EGRESS, now);
		backend->address = entry->backend_addr;
		backend->port = entry->backend_port;
		return 0;
	}
	if (!count)
		return DROP_NO_SERVICE;
	if (!affinity || !affine_backend(packet, fresh.rev_nat_index, affinity, now, backend)) {
		error = select_backend(skb, config, source, key, count, backend);
		if (error)
			return error;
		if (affinity)
			remember_backend(packet, fresh.rev_nat_index, now, backend);
	}
	fresh.backend_addr = backend->address;
	fresh.backend_port = backend->port;
	ct_account(skb, &fresh, packet, CT_EGRESS, now);
	return map_update(&cilium_ct4_global, &packet->tuple, &fresh, BPF_ANY) < 0 ? DROP_CT_CREATE_FAILED : 0;
}

/* Whether the client is its own backend, pod or host: its answers would go straight to itself, untranslated. */
static __always_inline _Bool comes_back(__u16 source, __be32 client, __be32 backend)
{
	const struct endpoint *endpoint;

	if (client == backend)
		return 1;
	if (source)
		return 0;
	endpoint = lookup_endpoint(backend);
	return endpoint && endpoint->flags & EP_HOST;
}

/*
 * Translates a packet for a service to one of its backends and leaves the service's index in cb. 0 also when it is for no service;
 * negative is a drop reason.
 */
static __always_inline int
load_balance(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet *packet)
{
	struct ct_key *tuple = &packet->tuple;
	struct lb4_key key = { .address = tuple->daddr, .dport = tuple->dport, .proto = tuple->nexthdr };
	struct backend backend = {};
	struct lb4_service *service;
	__u32 rev_nat;
	int error;

	if (packet->related || packet->proto == IPPROTO_ICMP)
		return 0;
	service = map_lookup(&cilium_lb4_services, &key);
	if (!service) {
		debug(skb, config, source, DBG_LB4_LOOKUP_MASTER_FAIL, key.address, bpf_ntohs(key.dport), 0);
		return 0;
	}
	rev_nat = service->rev_nat_index;
	debug(skb, config, source, DBG_LB4_LOOKUP_MASTER, key.address, bpf_ntohs(key.dport), 0);
	debug_capture(skb, config, source, DBG_CAPTURE_FROM_LB, skb->ifindex);
	error = flow_backend(skb, config, source, packet, &key, service, &backend);
	if (error)
		return error;

	if (comes_back(source, tuple->saddr, backend.address)) {
		debug(skb, config, source, DBG_LB4_LOOPBACK_SNAT, tuple->saddr, LOOPBACK_ADDR, 0);
		error = rewrite_addr(skb, packet, IPV4_OFF(saddr), tuple->saddr, LOOPBACK_ADDR);
		if (error)
			return error;
		rev_nat |= CB_LOOPBACK;
		cb_set(skb, CB_TARGET, tuple->saddr);
	}
	error = rewrite_addr(skb, packet, IPV4_OFF(daddr), tuple->daddr, backend.address);
	if (error)
		return error;
	error = rewrite_port(skb, packet, 2, tuple->dport, backend.port);
	cb_set(skb, CB_REV_NAT, rev_nat);
	return error;
}
