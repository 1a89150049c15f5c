#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <sys/socket.h>
#include <unistd.h>
#include "netlink.h"
#include "probe.h"

#define NO_PROGRAM "no program of the type can be loaded"

static int add_qdisc(int link, const char *kind, unsigned parent)
{
	struct tcmsg tc = { .tcm_ifindex = link, .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0), .tcm_parent = parent };
	struct request request;

	begin(&request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));
	attribute_string(&request, TCA_KIND, kind);
	return transact(&request);
}

static int delete_qdisc(int link, unsigned parent)
{
	struct tcmsg tc = { .tcm_ifindex = link, .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0), .tcm_parent = parent };
	struct request request;

	begin(&request, RTM_DELQDISC, 0, &tc, sizeof(tc));
	return transact(&request);
}

/* Direct action: what the program returns is what becomes of the packet. */
static int add_filter(int link, unsigned parent, int program)
{
	struct tcmsg tc = { .tcm_ifindex = link, .tcm_parent = parent, .tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL)) };
	struct request request;
	struct rtattr *options;

	begin(&request, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));
	attribute_string(&request, TCA_KIND, "bpf");
	options = nest(&request, TCA_OPTIONS);
	attribute_u32(&request, TCA_BPF_FD, program);
	attribute_string(&request, TCA_BPF_NAME, "kb_probe");
	attribute_u32(&request, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	end_nest(&request, options);
	return transact(&request);
}

/* An unknown qdisc is "no such file": the module of its name. */
static void report_tc(const char *name, int result)
{
	if (result == -ENOENT)
		report(name, UNSUPPORTED, "ENOENT: no such qdisc or classifier");
	else
		report_result(name, result);
}

static void probe_tc(int link)
{
	int program = load_trivial(BPF_PROG_TYPE_SCHED_CLS, 0, TC_ACT_OK), result;

	if (program < 0) {
		report("attach:tc-ingress", judge(program), NO_PROGRAM);
		report("attach:tc-clsact", judge(program), NO_PROGRAM);
		return;
	}
	result = add_qdisc(link, "ingress", TC_H_INGRESS);
	if (!result)
		result = add_filter(link, TC_H_MAKE(TC_H_INGRESS, 0), program);
	report_tc("attach:tc-ingress", result);
	delete_qdisc(link, TC_H_INGRESS);

	result = add_qdisc(link, "clsact", TC_H_CLSACT);
	if (!result)
		result = add_filter(link, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), program);
	if (!result)
		result = add_filter(link, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), program);
	report_tc("attach:tc-clsact", result);
	delete_qdisc(link, TC_H_CLSACT);
	close(program);
}

static int set_xdp(int link, int program, unsigned mode)
{
	struct ifinfomsg to = { .ifi_index = link };
	struct request request;
	struct rtattr *xdp;

	begin(&request, RTM_SETLINK, 0, &to, sizeof(to));
	xdp = nest(&request, IFLA_XDP | NLA_F_NESTED);
	attribute_u32(&request, IFLA_XDP_FD, program);
	attribute_u32(&request, IFLA_XDP_FLAGS, mode);
	end_nest(&request, xdp);
	return transact(&request);
}

static int create_link(int program, int target, unsigned attach_type)
{
	union bpf_attr attr = { .link_create = { .prog_fd = program, .target_fd = target, .attach_type = attach_type } };
	int fd = bpf(BPF_LINK_CREATE, &attr);

	return fd < 0 ? fd : close(fd);
}

static void probe_xdp(int link)
{
	static const struct {
		const char *name;
		unsigned mode;
	} modes[] = { { "attach:xdp-generic", XDP_FLAGS_SKB_MODE }, { "attach:xdp-native", XDP_FLAGS_DRV_MODE } };
	int program = load_trivial(BPF_PROG_TYPE_XDP, 0, XDP_PASS);

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		if (program < 0) {
			report(modes[i].name, judge(program), NO_PROGRAM);
			continue;
		}
		report_result(modes[i].name, set_xdp(link, program, modes[i].mode));
		set_xdp(link, -1, modes[i].mode);
	}
	if (program < 0)
		report("attach:xdp-link", judge(program), NO_PROGRAM);
	else
		report_result("attach:xdp-link", create_link(program, link, BPF_XDP));
	if (program >= 0)
		close(program);
}

static void probe_tcx(int link)
{
	int program = load_trivial(BPF_PROG_TYPE_SCHED_CLS, ATTACH_TCX_INGRESS, 0);

	/* Where the type is not known yet, the attach type is not either: 6.5 and older refuse it at load. */
	report_result("attach:tcx", program < 0 ? program : create_link(program, link, ATTACH_TCX_INGRESS));
	if (program >= 0)
		close(program);
}

static void probe_socket(void)
{
	int program = load_trivial(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0), fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = program;

	if (program >= 0)
		result = setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)) ? -errno : 0;
	report("attach:socket-filter", result == -ENOPROTOOPT ? UNSUPPORTED : judge(result), result < 0 ? error_text(-result) : "");
	if (program >= 0)
		close(program);
	if (fd >= 0)
		close(fd);
}

static void probe_sockmap(void)
{
	int program = load_trivial(BPF_PROG_TYPE_SK_SKB, 0, 1), map = create_map(BPF_MAP_TYPE_SOCKMAP, 4, 4, 1);
	union bpf_attr attr = { .target_fd = map, .attach_bpf_fd = program, .attach_type = BPF_SK_SKB_STREAM_VERDICT }, detach = attr;
	int result = program < 0 ? program : map < 0 ? map : bpf(BPF_PROG_ATTACH, &attr);

	report_result("attach:sockmap", result);
	if (result == 0)
		bpf(BPF_PROG_DETACH, &detach);
	if (program >= 0)
		close(program);
	if (map >= 0)
		close(map);
}

static void probe_sk_lookup(void)
{
	int program = load_trivial(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 1), space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	report_result("attach:sk-lookup", program < 0 ? program : create_link(program, space, BPF_SK_LOOKUP));
	if (program >= 0)
		close(program);
	if (space >= 0)
		close(space);
}

static void probe_raw_tracepoint(void)
{
	int program = load_trivial(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0), result = program;
	union bpf_attr attr = { .raw_tracepoint = { .name = (unsigned long)"task_newtask", .prog_fd = program } };

	if (program >= 0 && (result = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr)) >= 0)
		close(result);
	report_result("attach:raw-tracepoint", result);
	if (program >= 0)
		close(program);
}

static void probe_devices(void)
{
	static const char *const names[] = { "attach:tc-ingress", "attach:tc-clsact", "attach:xdp-generic", "attach:xdp-native", "attach:xdp-link", "attach:tcx" };
	int link = create_veth();

	if (link <= 0) {
		for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
			report(names[i], UNKNOWN, "there is no veth to attach to");
		return;
	}
	probe_tc(link);
	probe_xdp(link);
	probe_tcx(link);
	delete_link("kb0");
}

void probe_attach(void)
{
	probe_devices();
	probe_socket();
	probe_sockmap();
	probe_sk_lookup();
	probe_raw_tracepoint();
}
