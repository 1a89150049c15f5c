#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include "probe.h"

/*
 * Prints what the kernel can do, a JSON line a feature: {"name":"map:hash","state":"supported"}. Root. Devices, mounts and objects of BPF are
 * in namespaces and descriptors of this process: nothing is left when it ends, however it ends, but a control group if it is killed.
 */
int main(void)
{
	/* Before 5.11 maps and programs count as locked memory. */
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		fprintf(stderr, "no namespaces of its own: %s\n", strerror(errno));
		return 1;
	}
	probe_maps();
	probe_programs();
	probe_helpers();
	probe_verifier();
	probe_commands();
	probe_files();
	probe_links();
	probe_attach();
	probe_cgroup();
	return 0;
}
