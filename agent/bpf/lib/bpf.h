/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The kernel's BPF interface as far as lash uses it. Written out here instead of taken from the host's UAPI headers, so that the object
 * doesn't depend on where it was built, and nothing newer than 4.9 can slip in.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;

#define __section(NAME) __attribute__((section(NAME), used))
#define __always_inline inline __attribute__((always_inline))
#define unlikely(X) __builtin_expect(!!(X), 0)
#define bpf_htons(X) ((__be16)__builtin_bswap16(X))
#define bpf_ntohs(X) ((__u16)__builtin_bswap16(X))
#define bpf_htonl(X) ((__be32)__builtin_bswap32(X))
#define bpf_ntohl(X) ((__u32)__builtin_bswap32(X))
/*
 * Makes the compiler forget where a pointer came from. Otherwise it keeps addresses of fields in variables, and 4.9's verifier loses
 * track of a map value's adjusted pointer as soon as that is written to the stack.
 */
#define keep_base(POINTER) asm volatile("" : "+r"(POINTER))
#define NULL ((void *)0)

/* The leading fields of struct __sk_buff; the rest came after 4.9. */
struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	__u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};

/* 28 bytes are what 4.9 knows; later kernels accept the shorter form. */
struct bpf_tunnel_key {
	__u32 tunnel_id;
	union { __u32 remote_ipv4; __u32 remote_ipv6[4]; };
	__u8 tunnel_tos, tunnel_ttl;
	__u16 tunnel_ext;
	__u32 tunnel_label;
};

enum { TC_ACT_OK = 0, TC_ACT_SHOT = 2, TC_ACT_REDIRECT = 7 };
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PROG_ARRAY = 3, BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4, BPF_MAP_TYPE_PERCPU_HASH = 5 };
enum { PACKET_HOST = 0 };
#define BPF_ANY 0
#define BPF_F_INGRESS 1
#define BPF_F_PSEUDO_HDR (1 << 4)
#define BPF_F_MARK_MANGLED_0 (1 << 5)
#define BPF_F_ZERO_CSUM_TX (1 << 1)
#define BPF_F_CURRENT_CPU 0xffffffffULL

#define HELPER(ID) = (void *)(ID)
static void *(*map_lookup)(void *map, const void *key) HELPER(1);
static int (*map_update)(void *map, const void *key, const void *value, __u64 flags) HELPER(2);
static int (*map_delete)(void *map, const void *key) HELPER(3);
static __u64 (*ktime_get_ns)(void) HELPER(5);
static __u32 (*get_prandom_u32)(void) HELPER(7);
static int (*skb_store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 len, __u64 flags) HELPER(9);
static int (*l3_csum_replace)(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags) HELPER(10);
static int (*l4_csum_replace)(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags) HELPER(11);
static void (*bpf_tail_call)(struct __sk_buff *skb, void *map, __u32 index) HELPER(12);
static int (*skb_get_tunnel_key)(struct __sk_buff *skb, struct bpf_tunnel_key *to, __u32 size, __u64 flags) HELPER(20);
static int (*skb_set_tunnel_key)(struct __sk_buff *skb, const struct bpf_tunnel_key *from, __u32 size, __u64 flags) HELPER(21);
static int (*redirect)(int ifindex, __u64 flags) HELPER(23);
static int (*perf_event_output)(struct __sk_buff *skb, void *map, __u64 flags, const void *data, __u64 size) HELPER(25);
static int (*skb_load_bytes)(const struct __sk_buff *skb, __u32 offset, void *to, __u32 len) HELPER(26);
static int (*skb_change_type)(struct __sk_buff *skb, __u32 type) HELPER(32);
static __u32 (*get_hash_recalc)(struct __sk_buff *skb) HELPER(34);
