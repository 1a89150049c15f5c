/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The programs of IPv6, part of lash.c. They are reached by tail calls from those that are attached, so that what IPv4 runs through is as
 * long as it would be without them. No services: nothing is translated, so neither is anything that answers.
 *
 *   from_container ─→ from_container6 ─→ identify6 ─→ egress6 ─┬→ deliver6 ─→ a pod here
 *   from_host ──────→ from_host6 ───────────↗                  ├→ this host, or the world
 *   from_overlay ───→ from_overlay6 ─→ deliver6, this host     └→ overlay device ─→ another node
 */
#pragma once
#include "lib/cidr6.h"
#include "lib/conntrack6.h"
#include "lib/ndp.h"

/* ---- from a pod ---- */

/* 0, or a drop reason, when a pod sends in another's name, or to somebody on its link: there is nobody. */
static __always_inline int check_sender6(struct __sk_buff *skb, const struct endpoint *endpoint, const struct ipv6_header *ip)
{
	const struct endpoint *owner;
	struct eth_header eth;
	__u16 id = endpoint->id;

	if (skb_load_bytes(skb, 0, &eth, sizeof(eth)) < 0)
		return DROP_INVALID;
	if (!same_mac(eth.src, endpoint->mac))
		return DROP_INVALID_SMAC;
	if (!same_mac(eth.dst, endpoint->node_mac))
		return DROP_INVALID_DMAC;
	owner = lookup_endpoint6(&ip->saddr);
	if (!owner || owner->id != id)
		return DROP_INVALID_SIP;
	return 0;
}

/* Only returns when the call failed. */
static __always_inline int to_egress6(struct __sk_buff *skb)
{
	const struct cidr6_lengths *lengths = lookup_lengths6();

	return tail_call(skb, lengths && lengths->count ? CALL_IDENTIFY6 : CALL_EGRESS6);
}

__section("tail/8") int from_container6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	const struct endpoint *endpoint;
	__u32 ifindex = skb->ifindex;
	struct ipv6_header ip;
	__be32 *owner;
	__u8 type = 0;
	int result = DROP_UNKNOWN_L3;

	owner = map_lookup(&cilium_lxc_if, &ifindex);
	if (!config || !config6 || !owner || !config6->enabled)
		return finish(skb, result, METRIC_EGRESS, 0);
	endpoint = lookup_endpoint(*owner);
	if (!endpoint || skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return finish(skb, DROP_INVALID, METRIC_EGRESS, 0);
	if (ip.nexthdr == IPPROTO_ICMPV6)
		skb_load_bytes(skb, NDP_OFF, &type, 1);
	if (type == ICMPV6_SOLICITATION)
		return finish(skb, ndp_respond(skb, config, endpoint, &ip), METRIC_EGRESS, 0);
	result = check_sender6(skb, endpoint, &ip);
	if (!result)
		result = to_egress6(skb);
	return finish(skb, result, METRIC_EGRESS, 0);
}

/* ---- from this host, or routed by it ---- */

/* Whom an address is known for. */
static __always_inline __u32 known_identity6(const struct in6 *address)
{
	const struct cidr6_lengths *lengths;
	struct remote_endpoint *remote = map_lookup(&cilium_ipcache6, address);

	if (remote && remote->identity)
		return remote->identity;
	lengths = lookup_lengths6();
	return lengths ? cidr6_identity(lengths, address) : WORLD_ID;
}

__section("tail/9") int from_host6(struct __sk_buff *skb)
{
	const struct config6 *config6 = lookup_config6();
	struct ipv6_header ip;
	__u32 identity = HOST_ID;

	if (!config6 || !config6->enabled || skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || is_link_scope(&ip.daddr))
		return TC_ACT_OK;
	if (skb->ingress_ifindex)
		identity = known_identity6(&ip.saddr);
	cb_set(skb, CB_SRC_IDENTITY, identity);
	trace(skb, TRACE_FROM_HOST, 0, identity, 0, 0, 0, CT_NEW);
	return finish(skb, to_egress6(skb), METRIC_EGRESS, 0);
}

/* ---- from another node ---- */

__section("tail/10") int from_overlay6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	const struct endpoint *endpoint;
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);
	struct in6 daddr;

	if (!config || !config6 || !config6->enabled)
		return finish(skb, DROP_UNKNOWN_L3, METRIC_INGRESS, 0);
	if (skb_load_bytes(skb, IPV6_OFF(daddr), &daddr, sizeof(daddr)) < 0)
		return finish(skb, DROP_INVALID, METRIC_INGRESS, 0);
	endpoint = lookup_endpoint6(&daddr);
	if (!endpoint)
		return finish(skb, DROP_NO_LXC, METRIC_INGRESS, 0);
	if (endpoint->flags & EP_HOST) {
		skb_change_type(skb, PACKET_HOST);
		trace(skb, TRACE_TO_HOST, 0, identity, HOST_ID, 0, 0, CT_NEW);
		return TC_ACT_OK;
	}
	debug(skb, config, 0, DBG_LOCAL_DELIVERY, endpoint->id, identity, 0);
	return finish(skb, tail_call(skb, CALL_DELIVER6), METRIC_INGRESS, 0);
}

/* ---- where a policy names prefixes: which the destination is in ---- */

__section("tail/11") int identify6(struct __sk_buff *skb)
{
	const struct cidr6_lengths *lengths = lookup_lengths6();
	struct in6 daddr;

	if (!lengths || skb_load_bytes(skb, IPV6_OFF(daddr), &daddr, sizeof(daddr)) < 0)
		return finish(skb, DROP_INVALID, METRIC_EGRESS, 0);
	cb_set(skb, CB_STATE, cidr6_identity(lengths, &daddr));
	return finish(skb, tail_call(skb, CALL_EGRESS6), METRIC_EGRESS, 0);
}

/* ---- leaving the sender: conntrack, egress policy, where to ---- */

static __always_inline _Bool in_cluster6(const struct config6 *config6, const struct in6 *address)
{
	return address->w[0] == config6->prefix[0] && address->w[1] == config6->prefix[1];
}

static __always_inline __be32 tunnel_endpoint6(const struct in6 *address)
{
	struct in6 prefix = { .w = { address->w[0], address->w[1], address->w[2] } };
	__be32 *node = map_lookup(&cilium_tunnel_map6, &prefix);

	return node ? *node : 0;
}

static __always_inline void
resolve6(struct __sk_buff *skb, const struct config *config, const struct config6 *config6, const struct in6 *daddr, struct destination *to)
{
	const struct endpoint *endpoint;
	struct remote_endpoint *remote, known = {};

	/* Copied, as in resolve. */
	remote = map_lookup(&cilium_ipcache6, daddr);
	if (remote)
		known = *remote;
	endpoint = lookup_endpoint6(daddr);
	if (endpoint) {
		to->local = 1;
		to->host = endpoint->flags & EP_HOST;
		to->identity = to->host ? HOST_ID : endpoint->identity;
	} else {
		to->node = known.node ? known.node : tunnel_endpoint6(daddr);
		to->identity = cb_get(skb, CB_STATE); /* identify6's */
		if (to->node || in_cluster6(config6, daddr))
			to->identity = CLUSTER_ID;
		else if (!to->identity)
			to->identity = WORLD_ID;
	}
	if (known.identity)
		to->identity = known.identity;
	debug(skb, config, cb_source(skb), known.identity ? DBG_IP_ID_MAP_SUCCEED6 : DBG_IP_ID_MAP_FAILED6, daddr->w[3], to->identity, 0);
}

/* Sends the packet on. TC verdict, or a drop reason. */
static __always_inline int
forward6(struct __sk_buff *skb, const struct config *config, const struct config6 *config6, const struct in6 *daddr, const struct destination *to, int ct)
{
	__u16 source = cb_source(skb);
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);

	if (to->local && !to->host)
		return tail_call(skb, CALL_DELIVER6);
	if (to->node) {
		trace(skb, TRACE_TO_OVERLAY, source, identity, to->identity, 0, config->overlay_ifindex, ct);
#ifdef FAULT_IPV6_WRONG_VNI
		identity++;
#endif
		return encapsulate(skb, config, source, to->node, identity);
	}
	/* The host routes these to us: given back they would go round. */
	if (!to->local && (!source || in_cluster6(config6, daddr) || is_link_scope(daddr)))
		return DROP_UNKNOWN_TARGET;
	trace(skb, to->local ? TRACE_TO_HOST : TRACE_TO_STACK, source, identity, to->identity, 0, 0, ct);
	return TC_ACT_OK;
}

/* 0, or a drop reason. Denied is also what a proxy should see: there is none for IPv6. */
static __always_inline int
check_egress6(struct __sk_buff *skb, const struct config *config, struct packet6 *packet, __u32 dst_identity, int ct)
{
	__u16 source = cb_source(skb);

#if defined(FAULT_EGRESS_NOT_ENFORCED) || defined(FAULT_IPV6_EGRESS_NOT_ENFORCED)
	return 0;
#endif
	if (!(cb_get(skb, CB_SOURCE) >> 16 & EP_ENFORCE_EGRESS) || ct == CT_REPLY || ct == CT_RELATED)
		return 0;
	if (!policy_verdict(skb, &packet->l4, source, 1, dst_identity))
		return 0;
	debug(skb, config, source, DBG_POLICY_DENIED, cb_get(skb, CB_SRC_IDENTITY), dst_identity, 0);
	if (ct == CT_ESTABLISHED)
		ct6_forget(packet, CT_EGRESS);
	return DROP_POLICY;
}

__section("tail/12") int egress6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	struct packet6 packet = {};
	struct destination to = {};
	int result = DROP_INVALID, ct;

	if (config && config6)
		result = parse6(skb, &packet);
	if (result)
		return finish(skb, result, METRIC_EGRESS, 0);
	ct = ct6_lookup(skb, config, cb_source(skb), &packet, CT_EGRESS);
	resolve6(skb, config, config6, &packet.tuple.daddr, &to);
	result = check_egress6(skb, config, &packet, to.identity, ct);
	/* The host has no policy: its flows are of no interest. */
	if (!result && ct == CT_NEW && cb_source(skb) && !packet.l4.related)
		result = ct6_create(skb, config, cb_source(skb), &packet, CT_EGRESS, cb_get(skb, CB_SRC_IDENTITY));
	if (!result) {
		update_metrics(skb, METRIC_EGRESS, 0);
		result = forward6(skb, config, config6, &packet.tuple.daddr, &to, ct);
	}
	return finish(skb, result, METRIC_EGRESS, to.identity);
}

/* ---- to a pod of this node: conntrack, ingress policy ---- */

/* 0, or a drop reason. */
static __always_inline int
check_ingress6(struct __sk_buff *skb, const struct config *config, struct packet6 *packet, const struct endpoint *endpoint, int ct)
{
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);

	if (!(endpoint->flags & EP_ENFORCE_INGRESS) || identity == HOST_ID || ct == CT_RELATED)
		return 0;
#if !defined(FAULT_REPLIES_DENIED) && !defined(FAULT_IPV6_REPLIES_DENIED)
	if (ct == CT_REPLY)
		return 0;
#endif
	if (!policy_verdict(skb, &packet->l4, endpoint->id, 0, identity))
		return 0;
	debug(skb, config, endpoint->id, DBG_POLICY_DENIED, identity, endpoint->identity, 0);
	if (ct == CT_ESTABLISHED)
		ct6_forget(packet, CT_INGRESS);
#ifdef FAULT_IPV6_POLICY_FORGETS_DROP
	return 0;
#endif
	return DROP_POLICY;
}

/* The packet goes on with one hop less to go. 0, or a drop reason. */
static __always_inline int decrement_hop_limit(struct __sk_buff *skb, __u8 hop_limit)
{
	__u8 less = hop_limit - 1;

	if (hop_limit <= 1)
		return DROP_INVALID;
	return skb_store_bytes(skb, IPV6_OFF(hop_limit), &less, 1, 0) < 0 ? DROP_WRITE_ERROR : 0;
}

/* TC verdict, or a drop reason. */
static __always_inline int deliver_local6(struct __sk_buff *skb, const struct config *config, const struct endpoint *endpoint)
{
	struct packet6 packet = {};
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);
	__u8 macs[12];
	int error, ct;

	error = parse6(skb, &packet);
	if (error)
		return error;
	ct = ct6_lookup(skb, config, endpoint->id, &packet, CT_INGRESS);
	error = check_ingress6(skb, config, &packet, endpoint, ct);
	if (!error && ct == CT_NEW && !packet.l4.related)
		error = ct6_create(skb, config, endpoint->id, &packet, CT_INGRESS, identity);
	if (!error)
		error = decrement_hop_limit(skb, packet.l4.ttl);
	if (error)
		return error;

	__builtin_memcpy(macs, endpoint->mac, 12);
	if (skb_store_bytes(skb, 0, macs, 12, 0) < 0)
		return DROP_WRITE_ERROR;
	update_metrics(skb, METRIC_INGRESS, 0);
	trace(skb, TRACE_TO_LXC, endpoint->id, identity, endpoint->identity, endpoint->id, endpoint->ifindex, ct);
	return redirect(endpoint->ifindex, 0);
}

__section("tail/13") int deliver6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct endpoint *endpoint;
	struct in6 daddr;
	int result;

	if (!config || skb_load_bytes(skb, IPV6_OFF(daddr), &daddr, sizeof(daddr)) < 0)
		return finish(skb, DROP_INVALID, METRIC_INGRESS, 0);
	endpoint = lookup_endpoint6(&daddr);
	if (!endpoint)
		return finish(skb, DROP_NO_LXC, METRIC_INGRESS, 0);
	debug(skb, config, cb_source(skb), DBG_LXC_FOUND, endpoint->ifindex, 0, 0);
	result = deliver_local6(skb, config, endpoint);
	if (result < 0)
		return drop(skb, result, METRIC_INGRESS, endpoint->id, cb_get(skb, CB_SRC_IDENTITY), endpoint->identity, endpoint->id);
	return result;
}
