/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Which identity an IPv6 address outside the cluster has: as cidr.h, but the 128 lengths are too many to ask for each. */
#pragma once
#include "ip6.h"

struct cidr6_key { struct in6 address; __u32 bits; };
MAP(cilium_cidr6, BPF_MAP_TYPE_HASH, struct cidr6_key, __u32, 4096);

/* The lengths that cilium_cidr6 has, longest first, with their masks. One entry. MAX_PREFIX_LENGTHS in agent/src/datapath/cidrs.ts. */
#define MAX_PREFIX_LENGTHS 16
struct cidr6_lengths {
	__u32 count;
	struct { __u32 bits; __be32 mask[4]; } length[MAX_PREFIX_LENGTHS];
};
MAP(cilium_cidr6_lengths, BPF_MAP_TYPE_ARRAY, __u32, struct cidr6_lengths, 1);

static __always_inline const struct cidr6_lengths *lookup_lengths6(void)
{
	__u32 zero = 0;
	return map_lookup(&cilium_cidr6_lengths, &zero);
}

static __always_inline __u32 cidr6_identity(const struct cidr6_lengths *lengths, const struct in6 *address)
{
	struct cidr6_key key = {};
	__u32 *identity;

#pragma unroll
	for (int i = 0; i < MAX_PREFIX_LENGTHS; i++) {
		keep_base(lengths);
		if (i >= lengths->count)
			break;
		key.bits = lengths->length[i].bits;
		key.address.w[0] = address->w[0] & lengths->length[i].mask[0];
		key.address.w[1] = address->w[1] & lengths->length[i].mask[1];
		key.address.w[2] = address->w[2] & lengths->length[i].mask[2];
		key.address.w[3] = address->w[3] & lengths->length[i].mask[3];
		identity = map_lookup(&cilium_cidr6, &key);
		if (identity)
			return *identity;
	}
	return WORLD_ID;
}
