/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Records of the perf ring; agent/src/datapath/events.ts decodes them. Each is followed by up to 128 bytes of packet, debug excepted. */
#pragma once
#include "net.h"

#define CAPTURE_BYTES 128
enum { MESSAGE_DROP = 1, MESSAGE_DEBUG = 2, MESSAGE_CAPTURE = 3, MESSAGE_TRACE = 4 };

struct event_header {
	__u8 type;
	__u8 subtype;   /* drop reason, observation point, or debug subtype */
	__u16 source;   /* endpoint the program ran for */
	__u32 hash;
};

struct drop_event {
	struct event_header header;
	__u32 len_orig, len_cap, src_label, dst_label, dst_id, ifindex;
};

struct trace_event {
	struct event_header header;
	__u32 len_orig, len_cap, src_label, dst_label;
	__u16 dst_id;
	__u8 reason;    /* conntrack state */
	__u8 unused;
	__u32 ifindex;
};

struct debug_event {
	struct event_header header;
	__u32 arg1, arg2, arg3;
};

struct capture_event {
	struct event_header header;
	__u32 len_orig, len_cap, arg1, arg2;
};

/* Debug subtypes, numbered as in Cilium 1.2. */
enum {
	DBG_LOCAL_DELIVERY = 2, DBG_ENCAP = 3, DBG_LXC_FOUND = 4, DBG_POLICY_DENIED = 5, DBG_CT_MATCH = 8, DBG_CT_VERDICT = 15,
	DBG_LB6_LOOKUP_MASTER = 22, DBG_LB6_LOOKUP_MASTER_FAIL = 23, DBG_LB6_LOOKUP_SLAVE = 24, DBG_LB6_LOOKUP_SLAVE_SUCCESS = 25,
	DBG_LB6_REVERSE_NAT_LOOKUP = 26, DBG_LB6_REVERSE_NAT = 27,
	DBG_LB4_LOOKUP_MASTER = 28, DBG_LB4_LOOKUP_MASTER_FAIL = 29, DBG_LB4_LOOKUP_SLAVE = 30, DBG_LB4_LOOKUP_SLAVE_SUCCESS = 31,
	DBG_LB4_REVERSE_NAT_LOOKUP = 32, DBG_LB4_REVERSE_NAT = 33, DBG_LB4_LOOPBACK_SNAT = 34, DBG_LB4_LOOPBACK_SNAT_REV = 35,
	DBG_CT_LOOKUP4_1 = 44, DBG_CT_LOOKUP4_2 = 45, DBG_CT_CREATED4 = 46, DBG_CT_LOOKUP6_1 = 47, DBG_CT_LOOKUP6_2 = 48, DBG_CT_CREATED6 = 49,
	DBG_IP_ID_MAP_FAILED4 = 52, DBG_IP_ID_MAP_FAILED6 = 53, DBG_IP_ID_MAP_SUCCEED4 = 54, DBG_IP_ID_MAP_SUCCEED6 = 55,
};
enum { DBG_CAPTURE_DELIVERY = 4, DBG_CAPTURE_FROM_LB = 5, DBG_CAPTURE_PROXY_PRE = 8, DBG_CAPTURE_PROXY_POST = 9 };
