/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Counting packets and telling the monitor. */
#pragma once
#include "events.h"
#include "maps.h"

static __always_inline __u32 captured(const struct __sk_buff *skb)
{
	return skb->len < CAPTURE_BYTES ? skb->len : CAPTURE_BYTES;
}

/* Fails with ENOENT, cheaply, while no agent reads the ring. */
static __always_inline void emit(struct __sk_buff *skb, const void *event, __u32 size, __u32 packet_bytes)
{
	perf_event_output(skb, &cilium_events, (__u64)packet_bytes << 32 | BPF_F_CURRENT_CPU, event, size);
}

static __always_inline void update_metrics(struct __sk_buff *skb, __u8 dir, __u8 reason)
{
	struct metrics_key key = { .reason = reason, .dir = dir };
	struct metrics_value *value = map_lookup(&cilium_metrics, &key);

	if (value) {
		value->count += 1;
		value->bytes += skb->len;
	} else {
		struct metrics_value first = { .count = 1, .bytes = skb->len };
		map_update(&cilium_metrics, &key, &first, BPF_ANY);
	}
}

static __always_inline void
trace(struct __sk_buff *skb, __u8 point, __u16 source, __u32 src, __u32 dst, __u16 dst_id, __u32 ifindex, __u8 state)
{
	__u32 cap = captured(skb);
	struct trace_event event = {
		.header = { .type = MESSAGE_TRACE, .subtype = point, .source = source, .hash = get_hash_recalc(skb) },
		.len_orig = skb->len, .len_cap = cap, .src_label = src, .dst_label = dst, .dst_id = dst_id, .reason = state, .ifindex = ifindex,
	};
#ifdef FAULT_SWAPPED_IDENTITIES
	event.src_label = dst;
	event.dst_label = src;
#endif
	emit(skb, &event, sizeof(event), cap);
}

/* Counts and reports a drop; returns the verdict. error is negative. */
static __always_inline int
drop(struct __sk_buff *skb, int error, __u8 dir, __u16 source, __u32 src, __u32 dst, __u32 dst_id)
{
	__u32 cap = captured(skb);
	struct drop_event event = {
		.header = { .type = MESSAGE_DROP, .subtype = -error, .source = source, .hash = get_hash_recalc(skb) },
		.len_orig = skb->len, .len_cap = cap, .src_label = src, .dst_label = dst, .dst_id = dst_id,
	};
	update_metrics(skb, dir, -error);
#ifdef FAULT_SWAPPED_IDENTITIES
	event.src_label = dst;
	event.dst_label = src;
#endif
#ifdef FAULT_WRONG_DROP_REASON
	event.header.subtype = -DROP_UNKNOWN_TARGET;
#endif
#ifdef FAULT_MONITOR_LOSES_DROPS
	(void)event;
	return TC_ACT_SHOT;
#endif
	emit(skb, &event, sizeof(event), cap);
	return TC_ACT_SHOT;
}

static __always_inline void
debug(struct __sk_buff *skb, const struct config *config, __u16 source, __u8 subtype, __u32 arg1, __u32 arg2, __u32 arg3)
{
	if (config->debug) {
		struct debug_event event = {
			.header = { .type = MESSAGE_DEBUG, .subtype = subtype, .source = source, .hash = get_hash_recalc(skb) },
			.arg1 = arg1, .arg2 = arg2, .arg3 = arg3,
		};
		emit(skb, &event, sizeof(event), 0);
	}
}

static __always_inline void debug_capture(struct __sk_buff *skb, const struct config *config, __u16 source, __u8 subtype, __u32 arg1)
{
#ifdef FAULT_MONITOR_LOSES_CAPTURES
	return;
#endif
	if (config->debug) {
		__u32 cap = captured(skb);
		struct capture_event event = {
			.header = { .type = MESSAGE_CAPTURE, .subtype = subtype, .source = source, .hash = get_hash_recalc(skb) },
			.len_orig = skb->len, .len_cap = cap, .arg1 = arg1,
		};
		emit(skb, &event, sizeof(event), cap);
	}
}
