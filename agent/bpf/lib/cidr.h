/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Which identity an address outside the cluster has: that of the longest prefix which a policy names, or the world. */
#pragma once
#include "maps.h"

static __always_inline __u32 cidr_identity(const struct config *config, __be32 address)
{
	__u32 lengths = config->prefix_lengths, *identity;
	struct cidr_key key = {};

#pragma unroll
	for (int i = 0; i < 32; i++) {
#ifdef FAULT_SHORTEST_PREFIX_WINS
		const __u32 bits = i + 1;
#else
		const __u32 bits = 32 - i;
#endif
		if (!(lengths & 1U << (bits - 1)))
			continue;
		key.bits = bits;
		key.address = address & bpf_htonl(0xffffffffU << (32 - bits));
		identity = map_lookup(&cilium_cidr, &key);
		if (identity)
			return *identity;
	}
	return WORLD_ID;
}
