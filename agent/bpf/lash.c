/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * lash's datapath, one object for Linux 4.9 to newest. From the top of the repository:
 *
 *   clang -O2 -target bpf -mcpu=v1 -Wall -Werror -I agent/bpf -c agent/bpf/lash.c -o lash.o
 *
 * -DFAULT_<NAME> makes one thing wrong, to prove that the suites notice: POLICY_FORGETS_DROP, TUNNEL_BYPASS, SERVICE_ONE_BACKEND,
 * MONITOR_LOSES_DROPS, NO_REVERSE_NAT, WRONG_VNI, WRONG_DROP_REASON, SWAPPED_IDENTITIES, SHORTEST_PREFIX_WINS, EGRESS_NOT_ENFORCED,
 * REPLIES_DENIED, FORGETS_AFFINITY, NODEPORT_LOCAL_ONLY, FRAGMENTS_PASS, NO_RELATED, IPV6_POLICY_FORGETS_DROP, IPV6_EGRESS_NOT_ENFORCED,
 * IPV6_REPLIES_DENIED, IPV6_WRONG_VNI, IPV6_NO_REVERSE_NAT, IPV6_SERVICE_ONE_BACKEND, IPV6_FORGETS_AFFINITY, L7_NOT_REDIRECTED, L7_FORGETS_IDENTITY,
 * IPV6_L7_NOT_REDIRECTED.
 *
 *   from_container ─→ lb4 ─→ identify4 ─→ egress4 ─┬→ deliver4 ─→ a pod here        (sections "tail/N" are entries of cilium_calls)
 *   from_host ───────↗  ↑ └───────────────↗        ├→ to_stack4 ─→ this host, or the world
 *   from_netdev ────────┘                          └→ overlay device ─→ another node
 *   from_overlay ─→ deliver4, to_stack4                                               lash6.h has the programs of IPv6
 *   egress4, deliver4 ─→ to_proxy4 ─→ the agent's proxy ─→ from_host ─→ from_proxy4 (its answers) ─→ deliver4, egress4
 *
 * What 4.9 forces: everything inline (no calls before 4.16), no loops, no global data (5.2), hash maps only (LRU is 4.10, LPM 4.11),
 * 4,096 instructions a program and 98,304 verified ones: hence the tail calls.
 */
#include "lib/arp.h"
#include "lib/cidr.h"
#include "lib/forward.h"
#include "lib/lb.h"
#include "lib/ip6.h"
#include "lib/policy.h"
#include "lib/proxy.h"

char _license[] __section("license") = "GPL";
#ifdef FAULT_TUNNEL_BYPASS
char _options[] __section("options") = "plain-routing";
#endif

static __always_inline __u16 cb_source(const struct __sk_buff *skb)
{
	return cb_get(skb, CB_SOURCE) & 0xffff;
}

/* Only returns when the call failed. */
static __always_inline int tail_call(struct __sk_buff *skb, __u32 index)
{
	bpf_tail_call(skb, &cilium_calls, index);
	return DROP_MISSED_TAIL_CALL;
}

static __always_inline void start_flow(struct __sk_buff *skb, __u32 source, __u32 identity)
{
	cb_set(skb, CB_SRC_IDENTITY, identity);
	cb_set(skb, CB_SOURCE, source);
	cb_set(skb, CB_TARGET, 0);
	cb_set(skb, CB_REV_NAT, 0);
	cb_set(skb, CB_STATE, 0);
}

/* Ends a program of the sending side: a negative result is a drop. */
static __always_inline int finish(struct __sk_buff *skb, int result, __u8 dir, __u32 dst_identity)
{
	return result < 0 ? drop(skb, result, dir, cb_source(skb), cb_get(skb, CB_SRC_IDENTITY), dst_identity, 0) : result;
}

/* ---- from a pod: ingress of the host's end of its veth ---- */

static __always_inline _Bool same_mac(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

/* 0, or a drop reason, when a pod sends in another's name. */
static __always_inline int check_sender(struct __sk_buff *skb, const struct endpoint *endpoint, __be32 own_addr)
{
	__u8 mac[6];
	__be32 saddr;

	if (skb_load_bytes(skb, __builtin_offsetof(struct eth_header, src), mac, 6) < 0)
		return DROP_INVALID;
	if (!same_mac(mac, endpoint->mac))
		return DROP_INVALID_SMAC;
	if (skb_load_bytes(skb, IPV4_OFF(saddr), &saddr, 4) < 0)
		return DROP_INVALID;
	return saddr == own_addr ? 0 : DROP_INVALID_SIP;
}

__section("tc/from_container") int from_container(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	__u32 ifindex = skb->ifindex, protocol = skb->protocol;
	const struct endpoint *endpoint;
	__be32 *owner, own_addr;
	int result;

	owner = map_lookup(&cilium_lxc_if, &ifindex);
	if (!config || !owner)
		return TC_ACT_SHOT; /* an interface being set up or removed */
	own_addr = *owner;
	endpoint = lookup_endpoint(own_addr);
	if (!endpoint)
		return TC_ACT_SHOT;

	start_flow(skb, endpoint->id | endpoint->flags << 16, endpoint->identity);
	trace(skb, TRACE_FROM_LXC, endpoint->id, endpoint->identity, 0, 0, 0, CT_NEW);
	if (protocol == bpf_htons(ETH_P_ARP))
		return arp_respond(skb, config, endpoint, own_addr);
	if (protocol == bpf_htons(ETH_P_IP)) {
		result = check_sender(skb, endpoint, own_addr);
		if (!result)
			result = tail_call(skb, CALL_LB4);
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		result = tail_call(skb, CALL_FROM_CONTAINER6);
	} else {
		result = DROP_UNKNOWN_L3;
	}
	return finish(skb, result, METRIC_EGRESS, 0);
}

/* ---- from this host, or routed by it: egress of cilium_host ---- */

/* Whom an address is known for. */
static __always_inline __u32 sender_identity(struct __sk_buff *skb, const struct config *config)
{
	struct remote_endpoint *remote;
	__be32 saddr;

	if (skb_load_bytes(skb, IPV4_OFF(saddr), &saddr, 4) < 0)
		return WORLD_ID;
	remote = map_lookup(&cilium_ipcache, &saddr);
	return remote && remote->identity ? remote->identity : cidr_identity(config, saddr);
}

/* What the host itself sends has come in by no interface; what it forwards has, and isn't to be trusted as the host. */
static __always_inline __u32 host_identity(struct __sk_buff *skb, const struct config *config)
{
	return skb->ingress_ifindex ? sender_identity(skb, config) : HOST_ID;
}

__section("tc/from_host") int from_host(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	__u32 identity, source = 0;
	__u8 point = TRACE_FROM_HOST;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		start_flow(skb, 0, 0);
		return finish(skb, tail_call(skb, CALL_FROM_HOST6), METRIC_EGRESS, 0);
	}
	if (!config || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (is_proxy_answer(skb)) {
		start_flow(skb, 0, 0);
		return finish(skb, tail_call(skb, CALL_FROM_PROXY4), METRIC_EGRESS, 0);
	}
	identity = host_identity(skb, config);
	if (sent_by_proxy(skb)) {
		point = TRACE_FROM_PROXY;
		identity = identity_of_mark(skb->mark);
		source = skb->mark & PROXY_MARK_EGRESS ? 0 : CB_PROXIED;
	}
#ifdef FAULT_L7_FORGETS_IDENTITY
	identity = host_identity(skb, config);
#endif
	start_flow(skb, source, identity);
	trace(skb, point, 0, identity, 0, 0, 0, CT_NEW);
	return finish(skb, tail_call(skb, CALL_LB4), METRIC_EGRESS, 0);
}

/* ---- for a service at this node's addresses: ingress of the node's device, egress of lo. All else is the host's own business ---- */

__section("tc/from_netdev") int from_netdev(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	struct packet packet = {};
	struct lb4_key key = {};
	__u32 identity;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		tail_call(skb, CALL_FROM_NETDEV6);
		return TC_ACT_OK;
	}
	if (!config || skb->protocol != bpf_htons(ETH_P_IP) || parse(skb, &packet) || packet.proto == IPPROTO_ICMP)
		return TC_ACT_OK;
	/* On lo: to another of the proxy's connections, which it made in a pod's name. */
	if (is_proxy_answer(skb)) {
		start_flow(skb, 0, 0);
		return finish(skb, tail_call(skb, CALL_FROM_PROXY4), METRIC_EGRESS, 0);
	}
	key.address = packet.tuple.daddr;
	key.dport = packet.tuple.dport;
	key.proto = packet.proto;
	if (!map_lookup(&cilium_lb4_services, &key))
		return TC_ACT_OK;
	identity = host_identity(skb, config);
	start_flow(skb, CB_NETDEV, identity);
	trace(skb, TRACE_FROM_STACK, 0, identity, 0, 0, 0, CT_NEW);
	return finish(skb, tail_call(skb, CALL_LB4), METRIC_INGRESS, 0);
}

/* ---- from another node: ingress of cilium_vxlan ---- */

static __always_inline int overlay_target(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct endpoint *endpoint;
	__be32 daddr;

	if (!config || skb_load_bytes(skb, IPV4_OFF(daddr), &daddr, 4) < 0)
		return DROP_INVALID;
	endpoint = lookup_endpoint(daddr);
	if (!endpoint) {
		if ((daddr & config->pod_mask) == config->pod_prefix)
			return DROP_NO_LXC;
		/* The answer of a pod there to a client in the world that asked a NodePort here. */
		skb_change_type(skb, PACKET_HOST);
		cb_set(skb, CB_TARGET, TRACE_TO_STACK);
		cb_set(skb, CB_REV_NAT, CB_REPLY_ONLY);
		cb_set(skb, CB_STATE, WORLD_ID);
		return tail_call(skb, CALL_TO_STACK4);
	}
	if (endpoint->flags & EP_HOST) {
		/* The inner destination MAC is whatever the sending pod took for its router's. */
		skb_change_type(skb, PACKET_HOST);
		cb_set(skb, CB_TARGET, TRACE_TO_HOST);
		cb_set(skb, CB_STATE, HOST_ID);
		return tail_call(skb, CALL_TO_STACK4);
	}
	debug(skb, config, 0, DBG_LOCAL_DELIVERY, endpoint->id, cb_get(skb, CB_SRC_IDENTITY), 0);
	cb_set(skb, CB_TARGET, daddr);
	return tail_call(skb, CALL_DELIVER4);
}

/* Who sent it, as this node sees it: what came to a NodePort elsewhere is told by its address, and its answers go back there. */
static __always_inline __u32 overlay_identity(struct __sk_buff *skb, const struct bpf_tunnel_key *key)
{
	const struct config *config = lookup_config();

	if (key->tunnel_id != WORLD_ID || !config)
		return key->tunnel_id;
	cb_set(skb, CB_REV_NAT, CB_TUNNEL);
	cb_set(skb, CB_STATE, bpf_htonl(key->remote_ipv4));
	return sender_identity(skb, config);
}

__section("tc/from_overlay") int from_overlay(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	int result = DROP_UNKNOWN_L3;
	__u32 identity;

	start_flow(skb, 0, 0);
	if (skb_get_tunnel_key(skb, &key, sizeof(key), 0) < 0)
		return finish(skb, DROP_NO_TUNNEL_KEY, METRIC_INGRESS, 0);
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		cb_set(skb, CB_SRC_IDENTITY, key.tunnel_id);
		cb_set(skb, CB_STATE, bpf_htonl(key.remote_ipv4));
		return finish(skb, tail_call(skb, CALL_FROM_OVERLAY6), METRIC_INGRESS, 0);
	}
	identity = overlay_identity(skb, &key);
	cb_set(skb, CB_SRC_IDENTITY, identity);
	trace(skb, TRACE_FROM_OVERLAY, 0, identity, 0, 0, 0, CT_NEW);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		result = overlay_target(skb);
	return finish(skb, result, METRIC_INGRESS, 0);
}

/* ---- services ---- */

__section("tail/0") int lb4(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	struct packet packet = {};
	int result = DROP_INVALID;

	if (config)
		result = parse(skb, &packet);
	if (!result)
		result = load_balance(skb, config, cb_source(skb), &packet);
	if (!result)
		result = tail_call(skb, config->prefix_lengths ? CALL_IDENTIFY4 : CALL_EGRESS4);
	return finish(skb, result, METRIC_EGRESS, 0);
}

/* ---- where a policy names prefixes: which the destination is in. A program of its own, for the lookups would multiply egress4's states ---- */

__section("tail/4") int identify4(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	__be32 daddr;

	if (!config || skb_load_bytes(skb, IPV4_OFF(daddr), &daddr, 4) < 0)
		return finish(skb, DROP_INVALID, METRIC_EGRESS, 0);
	cb_set(skb, CB_STATE, cidr_identity(config, daddr));
	return finish(skb, tail_call(skb, CALL_EGRESS4), METRIC_EGRESS, 0);
}

/* ---- leaving the sender: conntrack, egress policy, where to ---- */

/* Where a flow's packets go: a connection that the proxy has is the proxy's until it ends, whatever policy has come since. */
static __always_inline __be16 proxy_of(int verdict, int ct, const struct ct_state *found)
{
#ifdef FAULT_L7_NOT_REDIRECTED
	return 0;
#endif
	return ct == CT_ESTABLISHED && found->proxy_port ? found->proxy_port : verdict;
}

/* Only returns when it failed. target is the port, and CB_EGRESS. */
static __always_inline int to_proxy(struct __sk_buff *skb, __u32 target, __u32 dst_identity, int ct)
{
	cb_set(skb, CB_TARGET, target);
	cb_set(skb, CB_STATE, (__u32)ct << 24 | dst_identity);
	return tail_call(skb, CALL_TO_PROXY4);
}

struct destination {
	__u32 identity;
	__be32 node;      /* tunnel end, for what is on another node */
	_Bool local, host;
};

static __always_inline _Bool in_cluster(const struct config *config, __be32 address)
{
	return (address & config->cluster_mask) == config->cluster_prefix;
}

static __always_inline void
resolve(struct __sk_buff *skb, const struct config *config, __u16 source, __be32 daddr, struct destination *to)
{
	const struct endpoint *endpoint;
	struct remote_endpoint *remote, known = {};

	/* Copied, as a pointer must be compared with NULL once only: after that 4.9's verifier takes NULL for any number. */
	remote = map_lookup(&cilium_ipcache, &daddr);
	if (remote)
		known = *remote;
	endpoint = lookup_endpoint(daddr);
	if (endpoint) {
		to->local = 1;
		to->host = endpoint->flags & EP_HOST;
		to->identity = to->host ? HOST_ID : endpoint->identity;
	} else {
		to->node = known.node ? known.node : tunnel_endpoint(config, daddr);
		to->identity = cb_get(skb, CB_STATE); /* identify4's */
		if (to->node || in_cluster(config, daddr))
			to->identity = CLUSTER_ID;
		else if (!to->identity)
			to->identity = WORLD_ID;
	}
	if (known.identity)
		to->identity = known.identity;
	debug(skb, config, source, known.identity ? DBG_IP_ID_MAP_SUCCEED4 : DBG_IP_ID_MAP_FAILED4, daddr, to->identity, 0);
}

/* Sends the packet on. TC verdict, or a drop reason. */
static __always_inline int
forward(struct __sk_buff *skb, const struct config *config, struct packet *packet, const struct destination *to, int ct)
{
	__u16 source = cb_source(skb);
	__be32 daddr = packet->tuple.daddr;
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);

	cb_set(skb, CB_STATE, (__u32)ct << 24 | to->identity);
	if (source && daddr == LOOPBACK_ADDR) {
		cb_set(skb, CB_TARGET, packet->tuple.saddr);
		return tail_call(skb, CALL_DELIVER4);
	}
	if (to->local && !to->host) {
		cb_set(skb, CB_TARGET, daddr);
		return tail_call(skb, CALL_DELIVER4);
	}
	if (to->local || daddr == LOOPBACK_ADDR) {
		cb_set(skb, CB_TARGET, TRACE_TO_HOST);
		return tail_call(skb, CALL_TO_STACK4);
	}
	if (to->node) {
		trace(skb, TRACE_TO_OVERLAY, source, identity, to->identity, 0, config->overlay_ifindex, ct);
		/* Sent as the world's: the other node then returns the answers to this one, which alone can translate them. */
		return encapsulate(skb, config, source, to->node, cb_get(skb, CB_SOURCE) & CB_NETDEV ? WORLD_ID : identity);
	}
	/* The host routes these to us: given back they would go round. */
	if (!source || in_cluster(config, daddr))
		return DROP_UNKNOWN_TARGET;
	cb_set(skb, CB_TARGET, TRACE_TO_STACK);
	return tail_call(skb, CALL_TO_STACK4);
}

/* 0 for allowed, the proxy's port, or a drop reason. */
static __always_inline int
check_egress(struct __sk_buff *skb, const struct config *config, struct packet *packet, __u32 dst_identity, int ct)
{
	__u16 source = cb_source(skb);
	int verdict;

#ifdef FAULT_EGRESS_NOT_ENFORCED
	return 0;
#endif
	if (!(cb_get(skb, CB_SOURCE) >> 16 & EP_ENFORCE_EGRESS) || cb_get(skb, CB_REV_NAT) & CB_LOOPBACK || ct == CT_REPLY || ct == CT_RELATED)
		return 0;
	verdict = policy_verdict(skb, packet, source, 1, dst_identity);
	if (verdict >= 0)
		return verdict;
	debug(skb, config, source, DBG_POLICY_DENIED, cb_get(skb, CB_SRC_IDENTITY), dst_identity, 0);
	if (ct == CT_ESTABLISHED)
		ct_forget(packet, CT_EGRESS);
	return DROP_POLICY;
}

/* 0, or a drop reason. */
static __always_inline int
track_egress(struct __sk_buff *skb, const struct config *config, struct packet *packet, int ct, const struct ct_state *found, __be16 proxy_port)
{
	__u16 source = cb_source(skb);
	__u32 rev_nat = cb_get(skb, CB_REV_NAT);
	struct ct_state state = {
		.rev_nat_index = rev_nat, .flags = rev_nat & CB_LOOPBACK ? CT_LOOPBACK : 0, .client = cb_get(skb, CB_TARGET),
		.proxy_port = proxy_port,
	};
	_Bool stale = ct == CT_ESTABLISHED && found->rev_nat_index != state.rev_nat_index;

	/* The host has no policy: its flows are of interest for reverse translation only. */
	if (packet->related || !(stale || (ct == CT_NEW && (source || rev_nat))))
		return 0;
	return ct_create(skb, config, source, packet, CT_EGRESS, &state, cb_get(skb, CB_SRC_IDENTITY));
}

__section("tail/1") int egress4(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	struct packet packet = {};
	struct destination to = {};
	struct ct_state found = {};
	int result = DROP_INVALID, ct, proxy;

	if (config)
		result = parse(skb, &packet);
	if (result)
		return finish(skb, result, METRIC_EGRESS, 0);
	ct = ct_lookup(skb, config, cb_source(skb), &packet, CT_EGRESS, &found);
	resolve(skb, config, cb_source(skb), packet.tuple.daddr, &to);
#ifndef FAULT_NODEPORT_LOCAL_ONLY
	if ((ct == CT_REPLY || ct == CT_RELATED) && found.flags & CT_RETURN) {
		to.node = found.client;
		to.local = 0;
	}
#endif
	proxy = check_egress(skb, config, &packet, to.identity, ct);
	if (proxy < 0)
		return finish(skb, proxy, METRIC_EGRESS, to.identity);
	proxy = proxy_of(proxy, ct, &found);
	result = track_egress(skb, config, &packet, ct, &found, proxy);
	if (!result) {
		update_metrics(skb, METRIC_EGRESS, 0);
		if (proxy)
			result = to_proxy(skb, proxy | CB_EGRESS, to.identity, ct);
		else
			result = forward(skb, config, &packet, &to, ct);
	}
	return finish(skb, result, METRIC_EGRESS, to.identity);
}

/* ---- to a pod of this node: conntrack, ingress policy, reverse translation ---- */

/* 0 for allowed, the proxy's port, or a drop reason. */
static __always_inline int
check_ingress(struct __sk_buff *skb, const struct config *config, struct packet *packet, const struct endpoint *endpoint, int ct)
{
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);
	int verdict;

	/* A pod may always reach itself through its service. The flag tells, not LOOPBACK_ADDR: whoever is outside can send from that. */
	if (!(endpoint->flags & EP_ENFORCE_INGRESS) || identity == HOST_ID || ct == CT_RELATED || cb_get(skb, CB_REV_NAT) & CB_LOOPBACK)
		return 0;
#ifndef FAULT_REPLIES_DENIED
	if (ct == CT_REPLY)
		return 0;
#endif
	verdict = policy_verdict(skb, packet, endpoint->id, 0, identity);
	if (verdict >= 0)
		return verdict;
	debug(skb, config, endpoint->id, DBG_POLICY_DENIED, identity, endpoint->identity, 0);
	if (ct == CT_ESTABLISHED)
		ct_forget(packet, CT_INGRESS);
	return DROP_POLICY;
}

/* TC verdict, or a drop reason. */
static __always_inline int deliver(struct __sk_buff *skb, const struct config *config, const struct endpoint *endpoint)
{
	struct packet packet = {};
	struct ct_state found = {}, fresh = {};
	__u32 identity = cb_get(skb, CB_SRC_IDENTITY);
	_Bool moved;
	__u8 macs[12];
	int error, ct, proxy;

	/* A service at a node's address was asked from outside: its answers must come by there, whoever the client is. */
	if (cb_get(skb, CB_SOURCE) & CB_NETDEV)
		fresh.flags = CT_RETURN;
	if (cb_get(skb, CB_REV_NAT) & CB_TUNNEL) {
		fresh.flags = CT_RETURN;
		fresh.client = cb_get(skb, CB_STATE);
	}

	error = parse(skb, &packet);
	if (error)
		return error;
	ct = ct_lookup(skb, config, endpoint->id, &packet, CT_INGRESS, &found);
	proxy = check_ingress(skb, config, &packet, endpoint, ct);
	if (proxy < 0)
		return proxy;
	/* What the proxy has decided on is not for it once more. */
	proxy = cb_get(skb, CB_SOURCE) & CB_PROXIED ? 0 : proxy_of(proxy, ct, &found);
	fresh.proxy_port = proxy;
	/* A client may use a port again towards another node's NodePort. */
	moved = ct == CT_ESTABLISHED && (found.flags != fresh.flags || found.client != fresh.client);
	if ((ct == CT_NEW || moved) && !packet.related)
		error = ct_create(skb, config, endpoint->id, &packet, CT_INGRESS, &fresh, identity);
	if (!error && proxy)
		return to_proxy(skb, proxy, endpoint->identity, ct);
	if (!error && (ct == CT_REPLY || ct == CT_RELATED))
		error = reverse_nat(skb, config, endpoint->id, &packet, &found);
	if (!error)
		error = decrement_ttl(skb, packet.ttl);
	if (error)
		return error;

	__builtin_memcpy(macs, endpoint->mac, 12);
	if (skb_store_bytes(skb, 0, macs, 12, 0) < 0)
		return DROP_WRITE_ERROR;
	update_metrics(skb, METRIC_INGRESS, 0);
	trace(skb, TRACE_TO_LXC, endpoint->id, identity, endpoint->identity, endpoint->id, endpoint->ifindex, ct);
	return redirect(endpoint->ifindex, 0);
}

__section("tail/2") int deliver4(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct endpoint *endpoint = lookup_endpoint(cb_get(skb, CB_TARGET));
	int result;

	if (!config || !endpoint)
		return finish(skb, DROP_NO_LXC, METRIC_INGRESS, 0);
	debug(skb, config, cb_source(skb), DBG_LXC_FOUND, endpoint->ifindex, 0, 0);
	result = deliver(skb, config, endpoint);
	if (result < 0)
		return drop(skb, result, METRIC_INGRESS, endpoint->id, cb_get(skb, CB_SRC_IDENTITY), endpoint->identity, endpoint->id);
	return result;
}

/* ---- to this host, or through it to the world: reverse translation for the host's own use of services ---- */

__section("tail/3") int to_stack4(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	struct packet packet = {};
	struct ct_state found = {};
	__u16 source = cb_source(skb);
	__u32 state = cb_get(skb, CB_STATE);
	int result = DROP_INVALID, ct;

	if (config)
		result = parse(skb, &packet);
	if (result)
		return finish(skb, result, METRIC_EGRESS, state & 0xffffff);
	ct = ct_lookup(skb, config, source, &packet, CT_INGRESS, &found);
	if (ct == CT_REPLY || ct == CT_RELATED)
		result = reverse_nat(skb, config, source, &packet, &found);
	else if (cb_get(skb, CB_REV_NAT) & CB_REPLY_ONLY)
		result = DROP_NON_LOCAL;
	if (result)
		return finish(skb, result, METRIC_EGRESS, state & 0xffffff);
	/* Replies to the host have no state of their own at the sender when they come by the overlay. */
	if (!(state >> 24) && found.rev_nat_index)
		state |= (__u32)ct << 24;
	trace(skb, cb_get(skb, CB_TARGET), source, cb_get(skb, CB_SRC_IDENTITY), state & 0xffffff, 0, 0, state >> 24);
	/* The host talking to itself through a service: cilium_host sends, so what is for the host must turn round there. */
	return skb->ifindex == config->host_ifindex ? redirect(config->host_ifindex, BPF_F_INGRESS) : TC_ACT_OK;
}

/* ---- to the agent's proxy, and what it answers ---- */

/* The endpoint whose policy has the proxy decide: target's CB_EGRESS tells whether it is the sender's. */
static __always_inline __u16 redirected_for(struct __sk_buff *skb, __u32 target, const struct endpoint *receiver)
{
	if (target & CB_EGRESS)
		return cb_source(skb);
	return receiver ? receiver->id : 0;
}

__section("tail/5") int to_proxy4(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	struct packet packet = {};
	__u16 source;
	__u32 target = cb_get(skb, CB_TARGET), state = cb_get(skb, CB_STATE), identity = cb_get(skb, CB_SRC_IDENTITY);
	__u8 dir = target & CB_EGRESS ? METRIC_EGRESS : METRIC_INGRESS;
	int result = DROP_INVALID;

	if (config)
		result = parse(skb, &packet);
	if (!result) {
		source = redirected_for(skb, target, lookup_endpoint(packet.tuple.daddr));
		trace(skb, TRACE_TO_PROXY, source, identity, state & 0xffffff, 0, 0, state >> 24);
		result = redirect_to_proxy(skb, config, source, &packet, target, identity, state & 0xffffff);
	}
	return finish(skb, result, dir, state & 0xffffff);
}

__section("tail/6") int from_proxy4(struct __sk_buff *skb)
{
	const struct config *config = lookup_config();
	const struct endpoint *endpoint;
	struct packet packet = {};
	struct proxy4_flow flow = {};
	int result = DROP_INVALID;

	if (config)
		result = parse(skb, &packet);
	if (!result)
		result = restore_origin(skb, &packet, &flow);
	if (result)
		return finish(skb, result, METRIC_EGRESS, 0);
	if (flow.egress) {
		start_flow(skb, 0, flow.dst_identity);
		trace(skb, TRACE_FROM_PROXY, 0, flow.dst_identity, flow.src_identity, 0, 0, CT_REPLY);
		cb_set(skb, CB_TARGET, packet.tuple.daddr);
		return finish(skb, tail_call(skb, CALL_DELIVER4), METRIC_INGRESS, flow.src_identity);
	}
	endpoint = lookup_endpoint(flow.daddr);
	if (!endpoint)
		return finish(skb, DROP_NO_LXC, METRIC_EGRESS, flow.src_identity);
	start_flow(skb, endpoint->id | endpoint->flags << 16, endpoint->identity);
	trace(skb, TRACE_FROM_PROXY, endpoint->id, endpoint->identity, flow.src_identity, 0, 0, CT_REPLY);
	return finish(skb, tail_call(skb, config->prefix_lengths ? CALL_IDENTIFY4 : CALL_EGRESS4), METRIC_EGRESS, flow.src_identity);
}
#include "lash6.h"
