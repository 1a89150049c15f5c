#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "probe.h"

/* In the process's own mount namespace (main.c). The group is made in the one hierarchy of version 2, and removed. */
#define PLACE "/tmp"
#define GROUP PLACE "/kb-probe"

static const struct {
	const char *name;
	unsigned program, load_as, attach_type, flags;
	bool link;
} attachments[] = {
	{ "attach:cgroup-skb", BPF_PROG_TYPE_CGROUP_SKB, 0, BPF_CGROUP_INET_EGRESS, 0, false },
	{ "attach:cgroup-multi", BPF_PROG_TYPE_CGROUP_SKB, 0, BPF_CGROUP_INET_EGRESS, BPF_F_ALLOW_MULTI, false },
	{ "attach:cgroup-sock-ops", BPF_PROG_TYPE_SOCK_OPS, 0, BPF_CGROUP_SOCK_OPS, 0, false },
	{ "attach:cgroup-connect4", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET4_CONNECT, 0, false },
	{ "attach:cgroup-link", BPF_PROG_TYPE_CGROUP_SKB, 0, BPF_CGROUP_INET_EGRESS, 0, true },
};

static int attach(unsigned i, int group, int program)
{
	union bpf_attr attr = { .target_fd = group, .attach_bpf_fd = program, .attach_type = attachments[i].attach_type, .attach_flags = attachments[i].flags };
	union bpf_attr detach = { .target_fd = group, .attach_bpf_fd = program, .attach_type = attachments[i].attach_type };
	int result = bpf(BPF_PROG_ATTACH, &attr);

	if (result == 0)
		bpf(BPF_PROG_DETACH, &detach);
	return result;
}

static int attach_link(unsigned i, int group, int program)
{
	union bpf_attr attr = { .link_create = { .prog_fd = program, .target_fd = group, .attach_type = attachments[i].attach_type } };
	int fd = bpf(BPF_LINK_CREATE, &attr);

	return fd < 0 ? fd : close(fd);
}

static void probe(unsigned i, int group)
{
	int program = load_trivial(attachments[i].program, attachments[i].load_as, 1);

	if (program < 0) {
		report(attachments[i].name, judge(program), "no program of the type can be loaded");
		return;
	}
	report_result(attachments[i].name, attachments[i].link ? attach_link(i, group, program) : attach(i, group, program));
	close(program);
}

static void report_all(enum state state, const char *note)
{
	for (unsigned i = 0; i < ARRAY_SIZE(attachments); i++)
		report(attachments[i].name, state, note);
}

void probe_cgroup(void)
{
	int group;

	if (mount("cgroup2", PLACE, "cgroup2", 0, NULL)) {
		report_all(errno == ENODEV ? UNSUPPORTED : UNKNOWN, errno == ENODEV ? "no control groups of version 2" : error_text(errno));
		return;
	}
	mkdir(GROUP, 0700);
	group = open(GROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group < 0)
		report_all(UNKNOWN, error_text(errno));
	for (unsigned i = 0; group >= 0 && i < ARRAY_SIZE(attachments); i++)
		probe(i, group);
	if (group >= 0)
		close(group);
	rmdir(GROUP);
	umount2(PLACE, MNT_DETACH);
}
