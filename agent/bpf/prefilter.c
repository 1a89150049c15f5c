/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What is denied by its source prefix, ahead of everything else: XDP on the node's device. An object of its own, since 4.9 has no LPM tries (4.11), and no XDP in virtio's driver
 * (4.10) or in the stack (generic, 4.12). Attached only while there is a prefix to deny.
 *
 *   clang -O2 -target bpf -mcpu=v1 -Wall -Werror -I agent/bpf -c agent/bpf/prefilter.c -o prefilter.o
 */
#include "lib/events.h"
#include "lib/maps.h"

char _license[] __section("license") = "GPL";

#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_F_NO_PREALLOC 1
enum { XDP_DROP = 1, XDP_PASS = 2 };
#define DROP_CIDR 162

/* The leading fields; the rest came after 4.12. */
struct xdp_md { __u32 data, data_end; };
static int (*xdp_event_output)(struct xdp_md *xdp, void *map, __u64 flags, const void *data, __u64 size) HELPER(25);

struct prefilter_key { __u32 bits; __be32 address; };
struct prefilter6_key { __u32 bits; struct in6 address; };
#define TRIE(NAME, KEY) \
	struct map_def __section("maps") NAME = { .type = BPF_MAP_TYPE_LPM_TRIE, .key_size = sizeof(KEY), .value_size = 1, .max_entries = 16384, .flags = BPF_F_NO_PREALLOC }
TRIE(cilium_cidr_v4_dyn, struct prefilter_key);
TRIE(cilium_cidr_v6_dyn, struct prefilter6_key);

/* A frame's length is not told to XDP before 5.18 but by its ends, which may not be subtracted in a program as old as this may meet: IP's own will do. */
static __always_inline void count(__u32 bytes)
{
	struct metrics_key key = { .reason = DROP_CIDR, .dir = METRIC_INGRESS };
	struct metrics_value *value = map_lookup(&cilium_metrics, &key);

	if (value) {
		value->count += 1;
		value->bytes += bytes;
	} else {
		struct metrics_value first = { .count = 1, .bytes = bytes };
		map_update(&cilium_metrics, &key, &first, BPF_ANY);
	}
}

static __always_inline void tell(struct xdp_md *xdp, __u32 bytes)
{
	void *data = (void *)(long)xdp->data, *end = (void *)(long)xdp->data_end;
	/* Of IPv6 and TCP, or UDP and ICMP; of IPv4 and TCP, which is that of IPv6 alone; of IPv4 and UDP or ICMP; of IPv4 alone. */
	__u32 cap = data + CAPTURE_BYTES <= end ? CAPTURE_BYTES : data + 74 <= end ? 74 : data + 62 <= end ? 62 :
		data + 54 <= end ? 54 : data + 42 <= end ? 42 : 34;
	struct drop_event event = {
		.header = { .type = MESSAGE_DROP, .subtype = DROP_CIDR }, .len_orig = bytes, .len_cap = cap, .src_label = WORLD_ID, .dst_label = HOST_ID,
	};

	xdp_event_output(xdp, &cilium_events, (__u64)cap << 32 | BPF_F_CURRENT_CPU, &event, sizeof(event));
}

static __always_inline int deny(struct xdp_md *xdp, __u32 bytes)
{
	count(bytes);
	tell(xdp, bytes);
#ifdef FAULT_PREFILTER_IGNORES_DENY
	return XDP_PASS;
#endif
	return XDP_DROP;
}

static __always_inline int prefilter4(struct xdp_md *xdp, void *data, void *end)
{
	const struct ipv4_header *ip = data + ETH_HLEN;
	struct prefilter_key key = { .bits = 32 };
	__u32 bytes;

	if (data + ETH_HLEN + sizeof(*ip) > end)
		return XDP_PASS;
	key.address = ip->saddr;
	bytes = ETH_HLEN + bpf_ntohs(ip->tot_len);
	return map_lookup(&cilium_cidr_v4_dyn, &key) ? deny(xdp, bytes) : XDP_PASS;
}

static __always_inline int prefilter6(struct xdp_md *xdp, void *data, void *end)
{
	const struct ipv6_header *ip = data + ETH_HLEN;
	struct prefilter6_key key = { .bits = 128 };
	__u32 bytes;

#ifdef FAULT_PREFILTER_IGNORES_IPV6
	return XDP_PASS;
#endif
	if (data + ETH_HLEN + sizeof(*ip) > end)
		return XDP_PASS;
	key.address = ip->saddr;
	bytes = ETH_HLEN + sizeof(*ip) + bpf_ntohs(ip->payload_len);
	return map_lookup(&cilium_cidr_v6_dyn, &key) ? deny(xdp, bytes) : XDP_PASS;
}

__section("xdp/prefilter") int prefilter(struct xdp_md *xdp)
{
	void *data = (void *)(long)xdp->data, *end = (void *)(long)xdp->data_end;
	const struct eth_header *eth = data;

	if (data + sizeof(*eth) > end)
		return XDP_PASS;
	if (eth->proto == bpf_htons(ETH_P_IP))
		return prefilter4(xdp, data, end);
	if (eth->proto == bpf_htons(ETH_P_IPV6))
		return prefilter6(xdp, data, end);
	return XDP_PASS;
}
