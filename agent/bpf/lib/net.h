/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Packet formats and the numbers Cilium gives to identities, drop reasons and observation points. */
#pragma once
#include "bpf.h"

#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86dd
enum { IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17 };

struct eth_header { __u8 dst[6], src[6]; __be16 proto; };

struct ipv4_header {
	__u8 version_ihl, tos;
	__be16 tot_len, id, frag_off;
	__u8 ttl, protocol;
	__u16 check;
	__be32 saddr, daddr;
};
#define IPV4_OFF(FIELD) (ETH_HLEN + __builtin_offsetof(struct ipv4_header, FIELD))
/* More fragments follow, or an offset: any part of a datagram that was cut. */
#define IPV4_FRAGMENT bpf_htons(0x3fff)

struct in6 { __be32 w[4]; };
struct ipv6_header {
	__be32 version_flow;
	__be16 payload_len;
	__u8 nexthdr, hop_limit;
	struct in6 saddr, daddr;
};

#define TCP_CSUM_OFF 16
#define UDP_CSUM_OFF 6
#define ICMP_CSUM_OFF 2
#define TCP_FLAGS_OFF 13
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
enum { ICMP_ECHOREPLY = 0, ICMP_DEST_UNREACH = 3, ICMP_ECHO = 8, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETERPROB = 12 };

enum { HOST_ID = 1, WORLD_ID = 2, CLUSTER_ID = 3 };
/* From here on identities are this node's own, of prefixes that its policies name; other nodes have other numbers. */
#define LOCAL_ID 65536

/* Returned negative by whatever may drop; the event carries the positive number. */
enum {
	DROP_INVALID_SMAC = -130, DROP_INVALID_SIP = -132, DROP_POLICY = -133, DROP_INVALID = -134, DROP_CT_INVALID_HDR = -135,
	DROP_CT_UNKNOWN_PROTO = -137, DROP_UNKNOWN_L3 = -139, DROP_MISSED_TAIL_CALL = -140, DROP_WRITE_ERROR = -141,
	DROP_NO_TUNNEL_KEY = -147, DROP_UNKNOWN_TARGET = -150, DROP_NON_LOCAL = -151, DROP_NO_LXC = -152, DROP_CSUM_L3 = -153,
	DROP_CSUM_L4 = -154, DROP_CT_CREATE_FAILED = -155, DROP_FRAGMENT = -157, DROP_NO_SERVICE = -158, DROP_NO_TUNNEL_ENDPOINT = -160,
	DROP_PROXYMAP_CREATE_FAILED = -161,
};

enum {
	TRACE_TO_LXC = 0, TRACE_TO_PROXY = 1, TRACE_TO_HOST = 2, TRACE_TO_STACK = 3, TRACE_TO_OVERLAY = 4,
	TRACE_FROM_LXC = 5, TRACE_FROM_PROXY = 6, TRACE_FROM_HOST = 7, TRACE_FROM_STACK = 8, TRACE_FROM_OVERLAY = 9,
};

/* A pod that reaches itself through its own service sees this peer (Cilium's IPV4_LOOPBACK), for it would drop packets from its own address. */
#define LOOPBACK_ADDR bpf_htonl(0xa9fe2a01) /* 169.254.42.1 */
