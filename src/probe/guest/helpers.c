#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "probe.h"

#define TC BPF_PROG_TYPE_SCHED_CLS
#define XDP BPF_PROG_TYPE_XDP

/* What a program of the type may call; each type in one block. */
static const struct {
	const char *name;
	unsigned type, attach_type;
	int helper;
} helpers[] = {
	{ "helper:sched_cls/bpf_ktime_get_ns", TC, 0, BPF_FUNC_ktime_get_ns },
	{ "helper:sched_cls/bpf_skb_store_bytes", TC, 0, BPF_FUNC_skb_store_bytes },
	{ "helper:sched_cls/bpf_l4_csum_replace", TC, 0, BPF_FUNC_l4_csum_replace },
	{ "helper:sched_cls/bpf_tail_call", TC, 0, BPF_FUNC_tail_call },
	{ "helper:sched_cls/bpf_clone_redirect", TC, 0, BPF_FUNC_clone_redirect },
	{ "helper:sched_cls/bpf_skb_set_tunnel_key", TC, 0, BPF_FUNC_skb_set_tunnel_key },
	{ "helper:sched_cls/bpf_redirect", TC, 0, BPF_FUNC_redirect },
	{ "helper:sched_cls/bpf_skb_load_bytes", TC, 0, BPF_FUNC_skb_load_bytes },
	{ "helper:sched_cls/bpf_csum_diff", TC, 0, BPF_FUNC_csum_diff },
	{ "helper:sched_cls/bpf_skb_set_tunnel_opt", TC, 0, BPF_FUNC_skb_set_tunnel_opt },
	{ "helper:sched_cls/bpf_perf_event_output", TC, 0, BPF_FUNC_perf_event_output },
	{ "helper:sched_cls/bpf_skb_change_proto", TC, 0, BPF_FUNC_skb_change_proto },
	{ "helper:sched_cls/bpf_skb_change_type", TC, 0, BPF_FUNC_skb_change_type },
	{ "helper:sched_cls/bpf_get_hash_recalc", TC, 0, BPF_FUNC_get_hash_recalc },
	{ "helper:sched_cls/bpf_skb_pull_data", TC, 0, BPF_FUNC_skb_pull_data },
	{ "helper:sched_cls/bpf_csum_update", TC, 0, BPF_FUNC_csum_update },
	{ "helper:sched_cls/bpf_get_socket_cookie", TC, 0, BPF_FUNC_get_socket_cookie },
	{ "helper:sched_cls/bpf_skb_adjust_room", TC, 0, BPF_FUNC_skb_adjust_room },
	{ "helper:sched_cls/bpf_fib_lookup", TC, 0, BPF_FUNC_fib_lookup },
	{ "helper:sched_cls/bpf_sk_lookup_tcp", TC, 0, BPF_FUNC_sk_lookup_tcp },
	{ "helper:sched_cls/bpf_skb_ecn_set_ce", TC, 0, BPF_FUNC_skb_ecn_set_ce },
	{ "helper:sched_cls/bpf_skc_lookup_tcp", TC, 0, BPF_FUNC_skc_lookup_tcp },
	{ "helper:sched_cls/bpf_sk_assign", TC, 0, BPF_FUNC_sk_assign },
	{ "helper:sched_cls/bpf_ringbuf_output", TC, 0, BPF_FUNC_ringbuf_output },
	{ "helper:sched_cls/bpf_redirect_neigh", TC, 0, BPF_FUNC_redirect_neigh },
	{ "helper:sched_cls/bpf_redirect_peer", TC, 0, BPF_FUNC_redirect_peer },
	{ "helper:sched_cls/bpf_skb_set_tstamp", TC, 0, BPF_FUNC_skb_set_tstamp },
	{ "helper:xdp/bpf_xdp_adjust_head", XDP, 0, BPF_FUNC_xdp_adjust_head },
	{ "helper:xdp/bpf_redirect", XDP, 0, BPF_FUNC_redirect },
	{ "helper:xdp/bpf_redirect_map", XDP, 0, BPF_FUNC_redirect_map },
	{ "helper:xdp/bpf_xdp_adjust_tail", XDP, 0, BPF_FUNC_xdp_adjust_tail },
	{ "helper:xdp/bpf_fib_lookup", XDP, 0, BPF_FUNC_fib_lookup },
	{ "helper:xdp/bpf_xdp_load_bytes", XDP, 0, BPF_FUNC_xdp_load_bytes },
	{ "helper:sock_ops/bpf_setsockopt", BPF_PROG_TYPE_SOCK_OPS, 0, BPF_FUNC_setsockopt },
	{ "helper:cgroup_sock_addr/bpf_bind", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, BPF_FUNC_bind },
	{ "helper:cgroup_sock_addr/bpf_get_netns_cookie", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, BPF_FUNC_get_netns_cookie },
};

/* The verifier's words for a helper that this kernel, or this type of program, has not; 6.8 and later say the last. */
static bool is_unknown(const char *log)
{
	return strstr(log, "invalid func ") || strstr(log, "unknown func ") || strstr(log, "program of this type cannot use helper");
}

/*
 * Calls the helper without having set up its arguments. A verifier that knows it complains of the arguments, or takes it, as for one that
 * has none but the context, which is in place.
 */
static void probe(unsigned i, int of_type)
{
	const struct bpf_insn insns[] = { CALL(helpers[i].helper), MOV_IMM(BPF_REG_0, 0), EXIT() };
	const struct program program = { .type = helpers[i].type, .insns = insns, .count = ARRAY_SIZE(insns), .attach_type = helpers[i].attach_type };
	int fd;

	if (of_type < 0) {
		report(helpers[i].name, judge(of_type), "no program of this type can be loaded");
		return;
	}
	fd = load_program(&program);
	if (fd >= 0)
		close(fd);
	if (fd < 0 && !*verifier_log())
		report(helpers[i].name, UNKNOWN, error_text(-fd));
	else if (fd < 0 && is_unknown(verifier_log()))
		report(helpers[i].name, UNSUPPORTED, verifier_verdict());
	else
		report(helpers[i].name, SUPPORTED, "");
}

void probe_helpers(void)
{
	int of_type = -1;

	for (unsigned i = 0; i < ARRAY_SIZE(helpers); i++) {
		if (i == 0 || helpers[i].type != helpers[i - 1].type) {
			of_type = load_trivial(helpers[i].type, helpers[i].attach_type, 0);
			if (of_type >= 0)
				close(of_type);
		}
		probe(i, of_type);
	}
}
