/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * As proxy.h. Both ends of a redirected connection get addresses of this node's own prefix, hashes of the ones they have: the server's are local by
 * a route, the client's lead to cilium_host, as no route of a device does for a client in the world (IPv6 heeds a socket's device only among
 * routes that there are).
 */
#pragma once
#include "nat6.h"
#include "proxy.h"

/* Prefixes of 98 bits; the servers' is proxyPrefix6 in agent/src/datapath/devices.ts. */
enum { PROXY_SERVERS = 0x40000000, PROXY_CLIENTS = 0x80000000, PROXY_KIND = 0xc0000000 };

static __always_inline __be32 proxy_number(__u32 kind, const struct in6 *address)
{
	__u32 hash = 0;

#pragma unroll
	for (int i = 0; i < 4; i++)
		hash = (hash ^ bpf_ntohl(address->w[i])) * 0x9e3779b1U;
	return bpf_htonl(kind | hash >> 2);
}

/* As is_proxy_answer. */
static __always_inline _Bool is_proxy_answer6(struct __sk_buff *skb, const struct config6 *config6, const struct in6 *saddr)
{
	return !skb->ingress_ifindex && saddr->w[0] == config6->prefix[0] && saddr->w[1] == config6->prefix[1] && saddr->w[2] == config6->prefix[2] &&
	       (saddr->w[3] & bpf_htonl(PROXY_KIND)) == bpf_htonl(PROXY_SERVERS);
}

/* As remember_origin. */
static __always_inline int remember_origin6(const struct proxy6_key *key, const struct proxy6_flow *flow)
{
	struct proxy6_flow *found = map_lookup(&cilium_proxy6, key);

	if (found) {
		keep_base(found);
		if (!same_addr6(&found->saddr, &flow->saddr) || !same_addr6(&found->daddr, &flow->daddr) || found->dport != flow->dport)
			return DROP_PROXYMAP_CREATE_FAILED;
		found->src_identity = flow->src_identity;
		found->dst_identity = flow->dst_identity;
		return 0;
	}
	return map_update(&cilium_proxy6, key, flow, BPF_ANY) < 0 ? DROP_PROXYMAP_CREATE_FAILED : 0;
}

/* As redirect_to_proxy. */
static __always_inline int
redirect_to_proxy6(struct __sk_buff *skb, const struct config *config, const struct config6 *config6, __u16 source, struct packet6 *packet,
		   __u32 target, __u32 src_identity, __u32 dst_identity)
{
	struct ct6_key *tuple = &packet->tuple;
	struct in6 client = { .w = { config6->prefix[0], config6->prefix[1], config6->prefix[2], proxy_number(PROXY_CLIENTS, &tuple->saddr) } };
	struct in6 server = { .w = { config6->prefix[0], config6->prefix[1], config6->prefix[2], proxy_number(PROXY_SERVERS, &tuple->daddr) } };
	struct proxy6_key key = { .client = client.w[3], .server = server.w[3], .sport = tuple->sport, .dport = target & 0xffff };
	struct proxy6_flow flow = {
		.saddr = tuple->saddr, .daddr = tuple->daddr, .dport = tuple->dport, .egress = !!(target & CB_EGRESS),
		.src_identity = src_identity, .dst_identity = dst_identity,
	};
	__u8 mac[6];
	int error;

	debug_capture(skb, config, source, DBG_CAPTURE_PROXY_PRE, bpf_ntohs(key.dport));
	error = remember_origin6(&key, &flow);
	if (!error)
		error = rewrite_addr6(skb, packet, IPV6_OFF(saddr), &tuple->saddr, &client);
	if (!error)
		error = rewrite_addr6(skb, packet, IPV6_OFF(daddr), &tuple->daddr, &server);
	if (!error)
		error = rewrite_port(skb, &packet->l4, 2, tuple->dport, key.dport);
	if (error)
		return error;
	__builtin_memcpy(mac, config->host_mac, 6);
	if (skb_store_bytes(skb, 0, mac, 6, 0) < 0)
		return DROP_WRITE_ERROR;
	debug_capture(skb, config, source, DBG_CAPTURE_PROXY_POST, bpf_ntohs(key.dport));
	return redirect(config->host_ifindex, BPF_F_INGRESS);
}

/* As restore_origin; the client's address is given back too. */
static __always_inline int restore_origin6(struct __sk_buff *skb, struct packet6 *packet, struct proxy6_flow *flow)
{
	struct ct6_key *tuple = &packet->tuple;
	struct proxy6_key key = { .client = tuple->daddr.w[3], .server = tuple->saddr.w[3], .sport = tuple->dport, .dport = tuple->sport };
	struct proxy6_flow *found = map_lookup(&cilium_proxy6, &key);
	int error;

	if (!found)
		return DROP_UNKNOWN_TARGET;
	*flow = *found;
	error = rewrite_addr6(skb, packet, IPV6_OFF(saddr), &tuple->saddr, &flow->daddr);
	if (!error)
		error = rewrite_addr6(skb, packet, IPV6_OFF(daddr), &tuple->daddr, &flow->saddr);
	return error ? error : rewrite_port(skb, &packet->l4, 0, tuple->sport, flow->dport);
}
