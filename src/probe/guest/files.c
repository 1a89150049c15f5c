#include <errno.h>
#include <sys/mount.h>
#include <unistd.h>
#include "probe.h"

/* In the process's own mount namespace (main.c), so it goes with the process. */
#define PLACE "/tmp"
#define PIN PLACE "/kb-probe"

static int pin(int object)
{
	union bpf_attr attr = { .pathname = (unsigned long)PIN, .bpf_fd = object }, again = { .pathname = (unsigned long)PIN };
	int result = object < 0 ? object : bpf(BPF_OBJ_PIN, &attr);

	if (result == 0 && (result = bpf(BPF_OBJ_GET, &again)) >= 0)
		close(result);
	unlink(PIN);
	if (object >= 0)
		close(object);
	return result < 0 ? result : 0;
}

static void probe_bpf_fs(void)
{
	if (mount("bpf", PLACE, "bpf", 0, NULL)) {
		enum state state = errno == ENODEV ? UNSUPPORTED : UNKNOWN;
		const char *why = error_text(errno);

		report("fs:bpf", state, why);
		report("fs:pin-map", state, "there is no bpf file system");
		report("fs:pin-prog", state, "there is no bpf file system");
		return;
	}
	report("fs:bpf", SUPPORTED, "");
	report_result("fs:pin-map", pin(create_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1)));
	report_result("fs:pin-prog", pin(load_trivial(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0)));
	umount2(PLACE, MNT_DETACH);
}

void probe_files(void)
{
	probe_bpf_fs();
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		report("btf:vmlinux", SUPPORTED, "");
	else
		report("btf:vmlinux", errno == ENOENT ? UNSUPPORTED : UNKNOWN, "no /sys/kernel/btf/vmlinux");
}
