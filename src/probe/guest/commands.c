#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "probe.h"

/* Commands of bpf(2) on an array of one element, each on a map of its own. */

static int object_info(int map)
{
	struct bpf_map_info info = { 0 };
	union bpf_attr attr = { .info = { .bpf_fd = map, .info_len = sizeof(info), .info = (unsigned long)&info } };

	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

/* No key asks for the first one; before 4.12 a key that is not there had to be made up. */
static int first_key(int map)
{
	unsigned key;
	union bpf_attr attr = { .map_fd = map, .next_key = (unsigned long)&key };
	int result = bpf(BPF_MAP_GET_NEXT_KEY, &attr);

	return result == -EFAULT ? -EINVAL : result;
}

static int freeze(int map)
{
	union bpf_attr attr = { .map_fd = map };

	return bpf(BPF_MAP_FREEZE, &attr);
}

static int lookup_batch(int map)
{
	unsigned next = 0, keys[1], values[1];
	union bpf_attr attr = { .batch = { .map_fd = map, .out_batch = (unsigned long)&next, .keys = (unsigned long)keys, .values = (unsigned long)values, .count = 1 } };

	return bpf(BPF_MAP_LOOKUP_BATCH, &attr);
}

static const struct {
	const char *name;
	int (*attempt)(int map);
} on_map[] = {
	{ "cmd:obj-get-info", object_info },
	{ "cmd:map-first-key", first_key },
	{ "cmd:map-freeze", freeze },
	{ "cmd:map-lookup-batch", lookup_batch },
};

static int lookup_and_delete(void)
{
	int map = create_map(BPF_MAP_TYPE_QUEUE, 0, 4, 1);
	unsigned value = 0;
	union bpf_attr push = { .map_fd = map, .value = (unsigned long)&value }, pop = push;
	int result = map;

	if (map < 0)
		return map;
	if (!(result = bpf(BPF_MAP_UPDATE_ELEM, &push)))
		result = bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &pop);
	close(map);
	return result;
}

static int map_in_memory(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1, .map_flags = BPF_F_MMAPABLE };
	int map = bpf(BPF_MAP_CREATE, &attr);
	void *memory;

	if (map < 0)
		return map;
	memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, map, 0);
	close(map);
	if (memory == MAP_FAILED)
		return -errno;
	munmap(memory, 4096);
	return 0;
}

static int named_map(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1, .map_name = "kb_probe" };
	int map = bpf(BPF_MAP_CREATE, &attr);

	return map < 0 ? map : close(map);
}

static int next_program_id(void)
{
	union bpf_attr attr = { .start_id = 0 };
	int result = bpf(BPF_PROG_GET_NEXT_ID, &attr);

	return result == -ENOENT ? 0 : result; /* there may be no program */
}

static int test_run(void)
{
	char packet[64] = { 0 };
	int program = load_trivial(BPF_PROG_TYPE_SCHED_CLS, 0, 0), result;
	union bpf_attr attr = { .test = { .prog_fd = program, .data_in = (unsigned long)packet, .data_size_in = sizeof(packet) } };

	if (program < 0)
		return program;
	result = bpf(BPF_PROG_TEST_RUN, &attr);
	close(program);
	return result;
}

/* Where maps count as a control group's memory, the limit of locked memory does not matter. */
static int without_memlock(void)
{
	struct rlimit none = { 0, 0 }, before;
	int map;

	getrlimit(RLIMIT_MEMLOCK, &before);
	none.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &none);
	map = create_map(BPF_MAP_TYPE_ARRAY, 4, 4096, 16);
	setrlimit(RLIMIT_MEMLOCK, &before);
	if (map == -EPERM)
		return -ENOSYS;
	return map < 0 ? map : close(map);
}

static int btf(void)
{
	int fd = load_btf();

	return fd < 0 ? fd : close(fd);
}

static const struct {
	const char *name;
	int (*attempt)(void);
} alone[] = {
	{ "cmd:map-lookup-and-delete", lookup_and_delete },
	{ "cmd:map-mmap", map_in_memory },
	{ "cmd:map-name", named_map },
	{ "cmd:prog-get-next-id", next_program_id },
	{ "cmd:prog-test-run", test_run },
	{ "limit:memcg-accounting", without_memlock },
	{ "btf:load", btf },
};

void probe_commands(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(on_map); i++) {
		int map = create_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);

		report_result(on_map[i].name, map < 0 ? map : on_map[i].attempt(map));
		if (map >= 0)
			close(map);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(alone); i++)
		report_result(alone[i].name, alone[i].attempt());
}
