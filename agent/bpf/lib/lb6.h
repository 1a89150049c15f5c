/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Services of IPv6: as lb.h. */
#pragma once
#include "lb.h"
#include "nat6.h"

struct backend6 {
	struct in6 address;
	__be16 port;
};

static __always_inline _Bool backend_exists6(const struct backend6 *backend, __u16 rev_nat_index)
{
	struct lb6_backend_key key = { .address = backend->address, .port = backend->port, .rev_nat_index = rev_nat_index };

	return map_lookup(&cilium_lb6_backends, &key) != NULL;
}

/* As affine_backend. */
static __always_inline _Bool
affine_backend6(const struct packet6 *packet, __u16 rev_nat_index, __u32 affinity, __u32 now, struct backend6 *backend)
{
	struct lb6_affinity_key key = { .client = packet->tuple.saddr, .rev_nat_index = rev_nat_index };
	struct lb6_affinity *found = map_lookup(&cilium_lb6_affinity, &key);

#if defined(FAULT_FORGETS_AFFINITY) || defined(FAULT_IPV6_FORGETS_AFFINITY)
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
	return backend_exists6(backend, rev_nat_index);
}

static __always_inline void
remember_backend6(const struct packet6 *packet, __u16 rev_nat_index, __u32 now, const struct backend6 *backend)
{
	struct lb6_affinity_key key = { .client = packet->tuple.saddr, .rev_nat_index = rev_nat_index };
	struct lb6_affinity value = { .address = backend->address, .port = backend->port, .last_used = now };

	map_update(&cilium_lb6_affinity, &key, &value, BPF_ANY);
}

/* As select_backend. */
static __always_inline int
select_backend6(struct __sk_buff *skb, const struct config *config, __u16 source, struct lb6_key *key, __u32 count, struct backend6 *backend)
{
	struct lb6_service *slot;

	key->slave = get_prandom_u32() % count + 1;
#if defined(FAULT_SERVICE_ONE_BACKEND) || defined(FAULT_IPV6_SERVICE_ONE_BACKEND)
	key->slave = 1;
#endif
	debug(skb, config, source, DBG_LB6_LOOKUP_SLAVE, key->slave, bpf_ntohs(key->dport), 0);
	slot = map_lookup(&cilium_lb6_services, key);
	if (!slot)
		return DROP_NO_SERVICE;
	keep_base(slot);
	backend->address = slot->target;
	backend->port = slot->port;
	debug(skb, config, source, DBG_LB6_LOOKUP_SLAVE_SUCCESS, backend->address.w[3], bpf_ntohs(backend->port), 0);
	return 0;
}

/* As flow_backend. */
static __always_inline int
flow_backend6(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet6 *packet, struct lb6_key *key,
	      const struct lb6_service *service, struct backend6 *backend)
{
	struct ct6_entry *entry, fresh = { .flow = { .rev_nat_index = service->rev_nat_index } };
	__u32 now = now_seconds(), count = service->count, affinity = service->affinity;
	__u16 index = fresh.flow.rev_nat_index;
	int error;

	packet->tuple.flags = CT_F_SERVICE;
	packet->l4.tuple.flags = CT_F_SERVICE; /* by which ct_lifetime tells */
	entry = map_lookup(&cilium_ct6_global, &packet->tuple);
	if (entry && ct_alive(&entry->flow, &packet->l4, now) && entry->flow.rev_nat_index == index) {
		keep_base(entry);
		backend->address = entry->backend;
		backend->port = entry->flow.backend_port;
		if (is_established(&entry->flow, &packet->l4) || backend_exists6(backend, index)) {
			ct_account(skb, &entry->flow, &packet->l4, CT_EGRESS, now);
			return 0;
		}
	}
	if (!count)
		return DROP_NO_SERVICE;
	if (!affinity || !affine_backend6(packet, index, affinity, now, backend)) {
		error = select_backend6(skb, config, source, key, count, backend);
		if (error)
			return error;
		if (affinity)
			remember_backend6(packet, index, now, backend);
	}
	fresh.backend = backend->address;
	fresh.flow.backend_port = backend->port;
	ct_account(skb, &fresh.flow, &packet->l4, CT_EGRESS, now);
	return map_update(&cilium_ct6_global, &packet->tuple, &fresh, BPF_ANY) < 0 ? DROP_CT_CREATE_FAILED : 0;
}

/*
 * As comes_back. A pod that is its own backend is told by its address, on the way back too; the host has several, and is known again by its
 * router's, which is what it asks services from.
 */
static __always_inline _Bool comes_back6(const struct config6 *config6, __u16 source, const struct in6 *client, const struct in6 *backend)
{
	const struct in6 router = node_address6(config6, NUMBER_ROUTER);
	const struct endpoint *endpoint;

	if (source)
		return same_addr6(client, backend);
	if (!same_addr6(client, &router))
		return 0;
	endpoint = lookup_endpoint6(backend);
	return endpoint && endpoint->flags & EP_HOST;
}

/* As load_balance. */
static __always_inline int
load_balance6(struct __sk_buff *skb, const struct config *config, const struct config6 *config6, __u16 source, struct packet6 *packet)
{
	struct ct6_key *tuple = &packet->tuple;
	struct lb6_key key = { .address = tuple->daddr, .dport = tuple->dport, .proto = tuple->nexthdr };
	struct backend6 backend = {};
	struct lb6_service *service;
	struct in6 loopback;
	__u32 rev_nat;
	int error;

	if (packet->l4.related || packet->l4.proto == IPPROTO_ICMPV6)
		return 0;
	service = map_lookup(&cilium_lb6_services, &key);
	if (!service) {
		debug(skb, config, source, DBG_LB6_LOOKUP_MASTER_FAIL, key.address.w[3], bpf_ntohs(key.dport), 0);
		return 0;
	}
	rev_nat = service->rev_nat_index;
	debug(skb, config, source, DBG_LB6_LOOKUP_MASTER, key.address.w[3], bpf_ntohs(key.dport), 0);
	debug_capture(skb, config, source, DBG_CAPTURE_FROM_LB, skb->ifindex);
	error = flow_backend6(skb, config, source, packet, &key, service, &backend);
	if (error)
		return error;

	if (comes_back6(config6, source, &tuple->saddr, &backend.address)) {
		loopback = node_address6(config6, NUMBER_LOOPBACK);
		error = rewrite_addr6(skb, packet, IPV6_OFF(saddr), &tuple->saddr, &loopback);
		if (error)
			return error;
		rev_nat |= CB_LOOPBACK;
	}
	error = rewrite_addr6(skb, packet, IPV6_OFF(daddr), &tuple->daddr, &backend.address);
	if (error)
		return error;
	cb_set(skb, CB_REV_NAT, rev_nat);
	return rewrite_port(skb, &packet->l4, 2, tuple->dport, backend.port);
}
