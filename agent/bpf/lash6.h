/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The programs of IPv6, part of lash.c. They are reached by tail calls from those that are attached, so that what IPv4 runs through is as
 * long as it would be without them. egress6 decides and send6 acts, deliver6 decides and reverse6 translates: IPv6's headers have a verifier
 * go through everything behind them several times, so that what comes in turn is better in programs of its own.
 *
 *   from_container ─→ from_container6 ─→ lb6 ─→ identify6 ─→ egress6 ─→ send6 ─┬→ deliver6 ─→ reverse6 ─→ a pod here
 *   from_host ──────→ from_host6 ────────↗                                     ├→ to_stack6 ─→ this host, or the world
 *   from_netdev ────→ from_netdev6 ──────↑                                     └→ overlay device ─→ another node
 *   from_overlay ───→ from_overlay6 ─→ deliver6, to_stack6
 *   send6, deliver6 ─→ to_proxy6 ─→ the agent's proxy ─→ from_host6 ─→ from_proxy6 (its answers) ─→ deliver6, egress6
 */
#pragma once
#include "lib/cidr6.h"
#include "lib/lb6.h"
#include "lib/ndp.h"
#include "lib/proxy6.h"

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
		result = tail_call(skb, CALL_LB6);
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
	__u32 identity = HOST_ID, source = 0;
	__u8 point = TRACE_FROM_HOST;
	struct ipv6_header ip;

	if (!config6 || !config6->enabled || skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || is_link_scope(&ip.daddr))
		return TC_ACT_OK;
	if (is_proxy_answer6(skb, config6, &ip.saddr))
		return finish(skb, tail_call(skb, CALL_FROM_PROXY6), METRIC_EGRESS, 0);
	if (skb->ingress_ifindex)
		identity = known_identity6(&ip.saddr);
	if (sent_by_proxy(skb)) {
		point = TRACE_FROM_PROXY;
		source = skb->mark & PROXY_MARK_EGRESS ? 0 : CB_PROXIED;
#ifndef FAULT_L7_FORGETS_IDENTITY
		identity = identity_of_mark(skb->mark);
#endif
	}
	start_flow(skb, source, identity);
	trace(skb, point, 0, identity, 0, 0, 0, CT_NEW);
	return finish(skb, tail_call(skb, CALL_LB6), METRIC_EGRESS, 0);
}

static __always_inline _Bool in_cluster6(const struct config6 *config6, const struct in6 *address)
{
	return address->w[0] == config6->prefix[0] && address->w[1] == config6->prefix[1];
}

/* ---- for a service at this node's addresses: as from_netdev, which calls this ---- */

__section("tail/20") int from_netdev6(struct __sk_buff *skb)
{
	const struct config6 *config6 = lookup_config6();
	struct packet6 packet = {};
	struct lb6_key key = {};
	__u32 identity = HOST_ID;

	if (!config6 || !config6->enabled || parse6(skb, &packet) || packet.l4.proto == IPPROTO_ICMPV6)
		return TC_ACT_OK;
	key.address = packet.tuple.daddr;
	key.dport = packet.tuple.dport;
	key.proto = packet.l4.proto;
	if (!map_lookup(&cilium_lb6_services, &key))
		return TC_ACT_OK;
	if (skb->ingress_ifindex)
		identity = known_identity6(&packet.tuple.saddr);
	start_flow(skb, CB_NETDEV, identity);
	trace(skb, TRACE_FROM_STACK, 0, identity, 0, 0, 0, CT_NEW);
	return finish(skb, tail_call(skb, CALL_LB6), METRIC_INGRESS, 0);
}

/* ---- from another node ---- */

/* Who sent it: as overlay_identity. CB_STATE is the node. */
static __always_inline __u32 overlay_identity6(struct __sk_buff *skb, const struct in6 *saddr)
{
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);

	if (identity != WORLD_ID)
		return identity;
	cb_set(skb, CB_REV_NAT, CB_TUNNEL);
	identity = known_identity6(saddr);
	cb_set(skb, CB_SRC_IDENTITY, identity);
	return identity;
}

/* Only returns when the call failed. */
static __always_inline int overlay_to_stack6(struct __sk_buff *skb, __u8 point, __u32 rev_nat, __u32 dst_identity)
{
	skb_change_type(skb, PACKET_HOST);
	cb_set(skb, CB_TARGET, point);
	cb_set(skb, CB_REV_NAT, rev_nat);
	cb_set(skb, CB_STATE, dst_identity);
	return tail_call(skb, CALL_TO_STACK6);
}

__section("tail/10") int from_overlay6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	const struct endpoint *endpoint;
	struct { struct in6 saddr, daddr; } ip;
	__u32 identity;

	if (!config || !config6 || !config6->enabled)
		return finish(skb, DROP_UNKNOWN_L3, METRIC_INGRESS, 0);
	if (skb_load_bytes(skb, IPV6_OFF(saddr), &ip, sizeof(ip)) < 0)
		return finish(skb, DROP_INVALID, METRIC_INGRESS, 0);
	identity = overlay_identity6(skb, &ip.saddr);
	trace(skb, TRACE_FROM_OVERLAY, 0, identity, 0, 0, 0, CT_NEW);
	endpoint = lookup_endpoint6(&ip.daddr);
	if (!endpoint) {
		if (in_cluster6(config6, &ip.daddr))
			return finish(skb, DROP_NO_LXC, METRIC_INGRESS, 0);
		/* The answer of a pod there to a client in the world that asked a NodePort here. */
		return finish(skb, overlay_to_stack6(skb, TRACE_TO_STACK, CB_REPLY_ONLY, WORLD_ID), METRIC_INGRESS, 0);
	}
	if (endpoint->flags & EP_HOST)
		return finish(skb, overlay_to_stack6(skb, TRACE_TO_HOST, 0, HOST_ID), METRIC_INGRESS, 0);
	debug(skb, config, 0, DBG_LOCAL_DELIVERY, endpoint->id, identity, 0);
	return finish(skb, tail_call(skb, CALL_DELIVER6), METRIC_INGRESS, 0);
}

/* ---- services ---- */

__section("tail/14") int lb6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	struct packet6 packet = {};
	int result = DROP_INVALID;

	if (config && config6)
		result = parse6(skb, &packet);
	if (!result)
		result = load_balance6(skb, config, config6, cb_source(skb), &packet);
	if (!result)
		result = to_egress6(skb);
	return finish(skb, result, METRIC_EGRESS, 0);
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

/* 0 for allowed, the proxy's port, or a drop reason. */
static __always_inline int
check_egress6(struct __sk_buff *skb, const struct config *config, struct packet6 *packet, __u32 dst_identity, int ct)
{
	__u16 source = cb_source(skb);
	int verdict;

#if defined(FAULT_EGRESS_NOT_ENFORCED) || defined(FAULT_IPV6_EGRESS_NOT_ENFORCED)
	return 0;
#endif
	if (!(cb_get(skb, CB_SOURCE) >> 16 & EP_ENFORCE_EGRESS) || cb_get(skb, CB_REV_NAT) & CB_LOOPBACK || ct == CT_REPLY || ct == CT_RELATED)
		return 0;
	verdict = policy_verdict(skb, &packet->l4, source, 1, dst_identity);
	if (verdict >= 0)
		return verdict;
	debug(skb, config, source, DBG_POLICY_DENIED, cb_get(skb, CB_SRC_IDENTITY), dst_identity, 0);
	if (ct == CT_ESTABLISHED)
		ct6_forget(packet, CT_EGRESS);
	return DROP_POLICY;
}

/* As proxy_of. */
static __always_inline __be16 proxy_of6(int verdict, int ct, const struct ct_state *found)
{
#ifdef FAULT_IPV6_L7_NOT_REDIRECTED
	return 0;
#endif
	return proxy_of(verdict, ct, found);
}

/* Only returns when it failed. target is the port, and CB_EGRESS. */
static __always_inline int call_proxy6(struct __sk_buff *skb, __u32 target, __u32 dst_identity, int ct)
{
	cb_set(skb, CB_TARGET, target);
	cb_set(skb, CB_STATE, (__u32)ct << 24 | dst_identity);
	return tail_call(skb, CALL_TO_PROXY6);
}

__section("tail/12") int egress6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	__u32 rev_nat = cb_get(skb, CB_REV_NAT);
	struct packet6 packet = {};
	struct destination to = {};
	struct ct_state found = {};
	int result = DROP_INVALID, ct, proxy;

	if (config && config6)
		result = parse6(skb, &packet);
	if (result)
		return finish(skb, result, METRIC_EGRESS, 0);
	ct = ct6_lookup(skb, config, cb_source(skb), &packet, CT_EGRESS, &found);
	resolve6(skb, config, config6, &packet.tuple.daddr, &to);
#ifndef FAULT_NODEPORT_LOCAL_ONLY
	if ((ct == CT_REPLY || ct == CT_RELATED) && found.flags & CT_RETURN)
		to.node = found.client;
#endif
	proxy = check_egress6(skb, config, &packet, to.identity, ct);
	if (proxy < 0)
		return finish(skb, proxy, METRIC_EGRESS, to.identity);
	proxy = proxy_of6(proxy, ct, &found);
	/* The host has no policy: its flows are of interest for reverse translation only. */
	if (!packet.l4.related && ((ct == CT_NEW && (cb_source(skb) || rev_nat)) || (ct == CT_ESTABLISHED && found.rev_nat_index != (__u16)rev_nat)))
		rev_nat |= CB_TRACK;
	cb_set(skb, CB_REV_NAT, proxy ? rev_nat | CB_PROXY : rev_nat);
	cb_set(skb, CB_TARGET, proxy ? proxy | CB_EGRESS : to.node);
	cb_set(skb, CB_STATE, (__u32)ct << 24 | to.identity);
	return finish(skb, tail_call(skb, CALL_SEND6), METRIC_EGRESS, to.identity);
}

/* ---- leaving the sender as egress6 has decided: what conntrack is to know, and the way ---- */

/* Only returns when the call failed. */
static __always_inline int to_stack6_as(struct __sk_buff *skb, __u8 point)
{
	cb_set(skb, CB_TARGET, point);
	return tail_call(skb, CALL_TO_STACK6);
}

/* TC verdict, or a drop reason. node is the end of a tunnel, or 0. */
static __always_inline int
forward6(struct __sk_buff *skb, const struct config *config, const struct config6 *config6, const struct in6 *daddr, __be32 node)
{
	__u16 source = cb_source(skb);
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY), state = cb_get(skb, CB_STATE);
	const struct endpoint *endpoint;
	_Bool local = 0, host = 0;

	if (node) {
		trace(skb, TRACE_TO_OVERLAY, source, identity, state & 0xffffff, 0, config->overlay_ifindex, state >> 24);
#ifdef FAULT_IPV6_WRONG_VNI
		identity++;
#endif
		/* Sent as the world's: the other node then returns the answers to this one, which alone can translate them. */
		return encapsulate(skb, config, source, node, cb_get(skb, CB_SOURCE) & CB_NETDEV ? WORLD_ID : identity);
	}
	endpoint = lookup_endpoint6(daddr);
	if (endpoint) {
		local = 1;
		host = endpoint->flags & EP_HOST;
	}
	if (is_loopback6(config6, daddr)) {
		local = 1;
		host = !source;
	}
	if (host)
		return to_stack6_as(skb, TRACE_TO_HOST);
	if (local)
		return tail_call(skb, CALL_DELIVER6);
	/* The host routes these to us: given back they would go round. */
	if (!source || in_cluster6(config6, daddr) || is_link_scope(daddr))
		return DROP_UNKNOWN_TARGET;
	return to_stack6_as(skb, TRACE_TO_STACK);
}

__section("tail/15") int send6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	__u32 rev_nat = cb_get(skb, CB_REV_NAT), target = cb_get(skb, CB_TARGET), state = cb_get(skb, CB_STATE);
	struct ct_state fresh = { .rev_nat_index = rev_nat, .flags = rev_nat & CB_LOOPBACK ? CT_LOOPBACK : 0, .proxy_port = rev_nat & CB_PROXY ? target : 0 };
	struct packet6 packet = {};
	int result = DROP_INVALID;

	if (config && config6)
		result = parse6(skb, &packet);
	if (!result && rev_nat & CB_TRACK)
		result = ct6_create(skb, config, cb_source(skb), &packet, CT_EGRESS, &fresh, cb_get(skb, CB_SRC_IDENTITY));
	if (!result) {
		update_metrics(skb, METRIC_EGRESS, 0);
		if (rev_nat & CB_PROXY)
			result = tail_call(skb, CALL_TO_PROXY6);
		else
			result = forward6(skb, config, config6, &packet.tuple.daddr, target);
	}
	return finish(skb, result, METRIC_EGRESS, state & 0xffffff);
}

/* ---- to a pod of this node: conntrack, ingress policy ---- */

/* 0 for allowed, the proxy's port, or a drop reason. */
static __always_inline int
check_ingress6(struct __sk_buff *skb, const struct config *config, struct packet6 *packet, const struct endpoint *endpoint, int ct)
{
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);
	int verdict;

	if (!(endpoint->flags & EP_ENFORCE_INGRESS) || identity == HOST_ID || ct == CT_RELATED || cb_get(skb, CB_REV_NAT) & CB_LOOPBACK)
		return 0;
#if !defined(FAULT_REPLIES_DENIED) && !defined(FAULT_IPV6_REPLIES_DENIED)
	if (ct == CT_REPLY)
		return 0;
#endif
	verdict = policy_verdict(skb, &packet->l4, endpoint->id, 0, identity);
	if (verdict >= 0)
		return verdict;
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

/* To the pod's interface. TC verdict, or a drop reason. */
static __always_inline int hand_over6(struct __sk_buff *skb, const struct endpoint *endpoint, __u8 hop_limit, __u8 ct)
{
	int error = decrement_hop_limit(skb, hop_limit);
	__u8 macs[12];

	if (error)
		return error;
	__builtin_memcpy(macs, endpoint->mac, 12);
	if (skb_store_bytes(skb, 0, macs, 12, 0) < 0)
		return DROP_WRITE_ERROR;
	update_metrics(skb, METRIC_INGRESS, 0);
	trace(skb, TRACE_TO_LXC, endpoint->id, cb_get(skb, CB_SRC_IDENTITY), endpoint->identity, endpoint->id, endpoint->ifindex, ct);
	return redirect(endpoint->ifindex, 0);
}

/* TC verdict, or a drop reason. */
static __always_inline int deliver_local6(struct __sk_buff *skb, const struct config *config, const struct endpoint *endpoint)
{
	struct ct_state found = {}, fresh = {};
	struct packet6 packet = {};
	int error, ct, proxy;
	_Bool moved;

	/* As in deliver: by what node answers must go. */
	if (cb_get(skb, CB_SOURCE) & CB_NETDEV)
		fresh.flags = CT_RETURN;
	if (cb_get(skb, CB_REV_NAT) & CB_TUNNEL) {
		fresh.flags = CT_RETURN;
		fresh.client = cb_get(skb, CB_STATE);
	}
	error = parse6(skb, &packet);
	if (error)
		return error;
	ct = ct6_lookup(skb, config, endpoint->id, &packet, CT_INGRESS, &found);
	proxy = check_ingress6(skb, config, &packet, endpoint, ct);
	if (proxy < 0)
		return proxy;
	/* What the proxy has decided on is not for it once more. */
	proxy = cb_get(skb, CB_SOURCE) & CB_PROXIED ? 0 : proxy_of6(proxy, ct, &found);
	fresh.proxy_port = proxy;
	moved = ct == CT_ESTABLISHED && (found.flags != fresh.flags || found.client != fresh.client);
	if ((ct == CT_NEW || moved) && !packet.l4.related)
		error = ct6_create(skb, config, endpoint->id, &packet, CT_INGRESS, &fresh, cb_get(skb, CB_SRC_IDENTITY));
	if (error)
		return error;
	if (proxy)
		return call_proxy6(skb, proxy, endpoint->identity, ct);
	if ((ct == CT_REPLY || ct == CT_RELATED) && found.rev_nat_index) {
		cb_set(skb, CB_REV_NAT, found.rev_nat_index | (found.flags & CT_LOOPBACK ? CB_LOOPBACK : 0));
		cb_set(skb, CB_STATE, (__u32)ct << 24);
		return tail_call(skb, CALL_REVERSE6);
	}
	return hand_over6(skb, endpoint, packet.l4.ttl, ct);
}

/* The pod that a packet is for: the answer of one that has reached itself is for its sender. */
static __always_inline const struct endpoint *receiver6(struct __sk_buff *skb, const struct config6 *config6)
{
	struct { struct in6 saddr, daddr; } ip;

	if (skb_load_bytes(skb, IPV6_OFF(saddr), &ip, sizeof(ip)) < 0)
		return NULL;
	return lookup_endpoint6(is_loopback6(config6, &ip.daddr) ? &ip.saddr : &ip.daddr);
}

__section("tail/13") int deliver6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	const struct endpoint *endpoint;
	int result;

	if (!config || !config6)
		return finish(skb, DROP_INVALID, METRIC_INGRESS, 0);
	endpoint = receiver6(skb, config6);
	if (!endpoint)
		return finish(skb, DROP_NO_LXC, METRIC_INGRESS, 0);
	debug(skb, config, cb_source(skb), DBG_LXC_FOUND, endpoint->ifindex, 0, 0);
	result = deliver_local6(skb, config, endpoint);
	if (result < 0)
		return drop(skb, result, METRIC_INGRESS, endpoint->id, cb_get(skb, CB_SRC_IDENTITY), endpoint->identity, endpoint->id);
	return result;
}

/* ---- to a pod, the answer of a service: its address for the backend's ---- */

__section("tail/16") int reverse6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	__u32 rev_nat = cb_get(skb, CB_REV_NAT), state = cb_get(skb, CB_STATE);
	const struct endpoint *endpoint;
	struct packet6 packet = {};
	struct in6 client;
	int result;

	if (!config || !config6)
		return finish(skb, DROP_INVALID, METRIC_INGRESS, 0);
	endpoint = receiver6(skb, config6);
	if (!endpoint)
		return finish(skb, DROP_NO_LXC, METRIC_INGRESS, 0);
	result = parse6(skb, &packet);
	client = packet.tuple.saddr;
	if (!result)
		result = reverse_nat6(skb, config, endpoint->id, &packet, rev_nat & 0xffff);
	if (!result && rev_nat & CB_LOOPBACK)
		result = reverse_loopback6(skb, &packet, &client);
	if (!result)
		result = hand_over6(skb, endpoint, packet.l4.ttl, state >> 24);
	if (result < 0)
		return drop(skb, result, METRIC_INGRESS, endpoint->id, cb_get(skb, CB_SRC_IDENTITY), endpoint->identity, endpoint->id);
	return result;
}

/* ---- to this host, or through it to the world: as to_stack4 ---- */

__section("tail/17") int to_stack6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	struct packet6 packet = {};
	struct ct_state found = {};
	__u16 source = cb_source(skb);
	__u32 state = cb_get(skb, CB_STATE);
	struct in6 router;
	int result = DROP_INVALID, ct;

	if (config && config6)
		result = parse6(skb, &packet);
	if (result)
		return finish(skb, result, METRIC_EGRESS, state & 0xffffff);
	ct = ct6_lookup(skb, config, source, &packet, CT_INGRESS, &found);
	if (ct != CT_REPLY && ct != CT_RELATED) {
		if (cb_get(skb, CB_REV_NAT) & CB_REPLY_ONLY)
			result = DROP_NON_LOCAL;
	} else if (found.rev_nat_index) {
		result = reverse_nat6(skb, config, source, &packet, found.rev_nat_index);
		if (!result && found.flags & CT_LOOPBACK) {
			router = node_address6(config6, NUMBER_ROUTER);
			result = reverse_loopback6(skb, &packet, &router);
		}
	}
	/* Nobody else has that address: the host would send it round and round. */
	if (!result && is_loopback6(config6, &packet.tuple.daddr) && !(found.flags & CT_LOOPBACK))
		result = DROP_UNKNOWN_TARGET;
	if (result)
		return finish(skb, result, METRIC_EGRESS, state & 0xffffff);
	/* Replies to the host have no state of their own at the sender when they come by the overlay. */
	if (!(state >> 24) && found.rev_nat_index)
		state |= (__u32)ct << 24;
	trace(skb, cb_get(skb, CB_TARGET), source, cb_get(skb, CB_SRC_IDENTITY), state & 0xffffff, 0, 0, state >> 24);
	/* The host talking to itself through a service, and the proxy's answers: cilium_host sends, so they must turn round there. */
	return skb->ifindex == config->host_ifindex ? redirect(config->host_ifindex, BPF_F_INGRESS) : TC_ACT_OK;
}

/* ---- to the agent's proxy, and what it answers ---- */

__section("tail/18") int to_proxy6(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct config6 *config6 = lookup_config6();
	struct packet6 packet = {};
	__u16 source;
	__u32 target = cb_get(skb, CB_TARGET), state = cb_get(skb, CB_STATE), identity = cb_get(skb, CB_SRC_IDENTITY);
	__u8 dir = target & CB_EGRESS ? METRIC_EGRESS : METRIC_INGRESS;
	int result = DROP_INVALID;

	if (config && config6)
		result = parse6(skb, &packet);
	if (!result) {
		source = redirected_for(skb, target, lookup_endpoint6(&packet.tuple.daddr));
		trace(skb, TRACE_TO_PROXY, source, identity, state & 0xffffff, 0, 0, state >> 24);
		result = redirect_to_proxy6(skb, config, config6, source, &packet, target, identity, state & 0xffffff);
	}
	return finish(skb, result, dir, state & 0xffffff);
}

__section("tail/19") int from_proxy6(struct __sk_buff *skb)
{
	const struct endpoint *endpoint;
	struct packet6 packet = {};
	struct proxy6_flow flow = {};
	int result;

	start_flow(skb, 0, 0);
	result = parse6(skb, &packet);
	if (!result)
		result = restore_origin6(skb, &packet, &flow);
	if (result)
		return finish(skb, result, METRIC_EGRESS, 0);
	if (flow.egress) {
		start_flow(skb, 0, flow.dst_identity);
		trace(skb, TRACE_FROM_PROXY, 0, flow.dst_identity, flow.src_identity, 0, 0, CT_REPLY);
		return finish(skb, tail_call(skb, CALL_DELIVER6), METRIC_INGRESS, flow.src_identity);
	}
	endpoint = lookup_endpoint6(&flow.daddr);
	if (!endpoint)
		return finish(skb, DROP_NO_LXC, METRIC_EGRESS, flow.src_identity);
	start_flow(skb, endpoint->id | endpoint->flags << 16, endpoint->identity);
	trace(skb, TRACE_FROM_PROXY, endpoint->id, endpoint->identity, flow.src_identity, 0, 0, CT_REPLY);
	return finish(skb, to_egress6(skb), METRIC_EGRESS, flow.src_identity);
}
