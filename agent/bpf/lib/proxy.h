/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The agent's proxy, which decides on requests. A connection that policy has it decide on gets another destination: an address of
 * PROXY_NET, which is local by its route, and the port at which the proxy listens for this endpoint, direction and port. The proxy's sockets are
 * bound to cilium_host, so that packets must come in by it, and answers leave by it, whoever the client is.
 *
 * The address is a hash of the destination: a client may use one port towards several servers, and the proxy's socket must not take two such
 * connections for one.
 */
#pragma once
#include "nat.h"

#define PROXY_NET bpf_htonl(0xa9fe4000) /* 169.254.64.0/18 */
#define PROXY_NET_MASK bpf_htonl(0xffffc000)
#define PROXY_NET_HOST_BITS 14

/*
 * Marks of what the proxy sends on, to a server in a client's name: agent/src/datapath/proxy.ts. Laid out as Cilium's: the identity's lower 16 bits
 * above, its upper 8 below, and bits 12 to 15 left alone: kubelet's own iptables rules drop what has 0x8000 and masquerade what has 0x4000.
 */
#define PROXY_MARK 0x0a00
#define PROXY_MARK_MASK 0x0e00
#define PROXY_MARK_EGRESS 0x0100

static __always_inline __be32 proxy_address(__be32 daddr)
{
	return PROXY_NET | bpf_htonl((bpf_ntohl(daddr) * 0x9e3779b1U) >> (32 - PROXY_NET_HOST_BITS));
}

/* Only what this host sends itself has come in by no interface: neither address nor mark can be had from elsewhere. */
static __always_inline _Bool is_proxy_answer(struct __sk_buff *skb)
{
	__be32 saddr;

	return !skb->ingress_ifindex && skb_load_bytes(skb, IPV4_OFF(saddr), &saddr, 4) >= 0 && (saddr & PROXY_NET_MASK) == PROXY_NET;
}

static __always_inline _Bool sent_by_proxy(struct __sk_buff *skb)
{
	return !skb->ingress_ifindex && (skb->mark & PROXY_MARK_MASK) == PROXY_MARK;
}

static __always_inline __u32 identity_of_mark(__u32 mark)
{
	return (mark & 0xff) << 16 | mark >> 16;
}

/* Remembers whom the connection is for. 0, or a drop reason. */
static __always_inline int remember_origin(const struct proxy4_key *key, const struct proxy4_flow *flow)
{
	struct proxy4_flow *found = map_lookup(&cilium_proxy4, key);

	if (found) {
		keep_base(found);
		/* Two servers with one hash, asked from one port: the first has it until the agent removes what is over. */
		if (found->daddr != flow->daddr || found->dport != flow->dport)
			return DROP_PROXYMAP_CREATE_FAILED;
		found->src_identity = flow->src_identity;
		found->dst_identity = flow->dst_identity;
		return 0;
	}
	return map_update(&cilium_proxy4, key, flow, BPF_ANY) < 0 ? DROP_PROXYMAP_CREATE_FAILED : 0;
}

/* Sends a packet into this host's stack, to the proxy. TC verdict, or a drop reason. target is the port, and CB_EGRESS. */
static __always_inline int
redirect_to_proxy(struct __sk_buff *skb, const struct config *config, __u16 source, struct packet *packet, __u32 target, __u32 src_identity,
		  __u32 dst_identity)
{
	struct ct_key *tuple = &packet->tuple;
	struct proxy4_key key = { .saddr = tuple->saddr, .daddr = proxy_address(tuple->daddr), .sport = tuple->sport, .dport = target & 0xffff };
	struct proxy4_flow flow = {
		.daddr = tuple->daddr, .dport = tuple->dport, .egress = !!(target & CB_EGRESS), .src_identity = src_identity, .dst_identity = dst_identity,
	};
	__u8 mac[6];
	int error;

	debug_capture(skb, config, source, DBG_CAPTURE_PROXY_PRE, bpf_ntohs(key.dport));
	error = remember_origin(&key, &flow);
	if (!error)
		error = rewrite_addr(skb, packet, IPV4_OFF(daddr), tuple->daddr, key.daddr);
	if (!error)
		error = rewrite_port(skb, packet, 2, tuple->dport, key.dport);
	if (error)
		return error;
	__builtin_memcpy(mac, config->host_mac, 6);
	if (skb_store_bytes(skb, 0, mac, 6, 0) < 0)
		return DROP_WRITE_ERROR;
	debug_capture(skb, config, source, DBG_CAPTURE_PROXY_POST, bpf_ntohs(key.dport));
	return redirect(config->host_ifindex, BPF_F_INGRESS);
}

/* Gives the proxy's answer the address that its client had asked. 0, or a drop reason. */
static __always_inline int restore_origin(struct __sk_buff *skb, struct packet *packet, struct proxy4_flow *flow)
{
	struct ct_key *tuple = &packet->tuple;
	struct proxy4_key key = { .saddr = tuple->daddr, .daddr = tuple->saddr, .sport = tuple->dport, .dport = tuple->sport };
	struct proxy4_flow *found = map_lookup(&cilium_proxy4, &key);
	int error;

	if (!found)
		return DROP_UNKNOWN_TARGET;
	*flow = *found;
	error = rewrite_addr(skb, packet, IPV4_OFF(saddr), tuple->saddr, flow->daddr);
	if (!error)
		error = rewrite_port(skb, packet, 0, tuple->sport, flow->dport);
	return error;
}
