#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "probe.h"

static const struct {
	const char *name;
	unsigned type, attach_type, flags;
	/* A kernel that knows the type refuses the trivial program with these words, for want of something to attach to. */
	const char *refusal;
} programs[] = {
	{ "prog:socket_filter", BPF_PROG_TYPE_SOCKET_FILTER, 0, 0, 0 },
	{ "prog:kprobe", BPF_PROG_TYPE_KPROBE, 0, 0, 0 },
	{ "prog:sched_cls", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0 },
	{ "prog:sched_act", BPF_PROG_TYPE_SCHED_ACT, 0, 0, 0 },
	{ "prog:tracepoint", BPF_PROG_TYPE_TRACEPOINT, 0, 0, 0 },
	{ "prog:xdp", BPF_PROG_TYPE_XDP, 0, 0, 0 },
	{ "prog:cgroup_skb", BPF_PROG_TYPE_CGROUP_SKB, 0, 0, 0 },
	{ "prog:cgroup_sock", BPF_PROG_TYPE_CGROUP_SOCK, 0, 0, 0 },
	{ "prog:lwt_in", BPF_PROG_TYPE_LWT_IN, 0, 0, 0 },
	{ "prog:lwt_out", BPF_PROG_TYPE_LWT_OUT, 0, 0, 0 },
	{ "prog:lwt_xmit", BPF_PROG_TYPE_LWT_XMIT, 0, 0, 0 },
	{ "prog:sock_ops", BPF_PROG_TYPE_SOCK_OPS, 0, 0, 0 },
	{ "prog:sk_skb", BPF_PROG_TYPE_SK_SKB, 0, 0, 0 },
	{ "prog:sk_msg", BPF_PROG_TYPE_SK_MSG, 0, 0, 0 },
	{ "prog:raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0, 0 },
	{ "prog:cgroup_sock_addr", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, 0, 0 },
	{ "prog:sk_reuseport", BPF_PROG_TYPE_SK_REUSEPORT, 0, 0, 0 },
	{ "prog:flow_dissector", BPF_PROG_TYPE_FLOW_DISSECTOR, 0, 0, 0 },
	{ "prog:cgroup_sockopt", BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT, 0, 0 },
	{ "prog:sk_lookup", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 0, 0 },
	{ "prog:syscall", BPF_PROG_TYPE_SYSCALL, 0, BPF_F_SLEEPABLE, 0 },
	{ "prog:netfilter", TYPE_NETFILTER, ATTACH_NETFILTER, 0, 0 },
	{ "prog:tracing", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, 0, "is not a function" },
};

static void probe(unsigned i)
{
	const struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, 0), EXIT() };
	const struct program program = {
		.type = programs[i].type, .insns = insns, .count = ARRAY_SIZE(insns), .attach_type = programs[i].attach_type,
		.attach_btf_id = programs[i].refusal ? 1 : 0, .flags = programs[i].flags,
	};
	int fd = load_program(&program);

	if (fd >= 0)
		close(fd);
	if (programs[i].refusal && fd == -EINVAL && strstr(verifier_log(), programs[i].refusal))
		report(programs[i].name, SUPPORTED, "");
	else if (fd < 0 && !programs[i].refusal && *verifier_verdict())
		report(programs[i].name, UNKNOWN, verifier_verdict()); /* the type is known, our program is no good: a defect of the probe */
	else
		report_result(programs[i].name, fd);
}

static void probe_struct_ops(void)
{
	int fd = load_trivial(BPF_PROG_TYPE_STRUCT_OPS, 0, 0);

	if (fd == -ENOTSUPP)
		report("prog:struct_ops", SUPPORTED, "");
	else
		report_result("prog:struct_ops", fd);
	if (fd >= 0)
		close(fd);
}

void probe_programs(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(programs); i++)
		probe(i);
	probe_struct_ops();
}
