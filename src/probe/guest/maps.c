#include <errno.h>
#include <unistd.h>
#include "probe.h"

/* Sizes are the least that the type takes; where 0 entries are asked for, the type has none of its own. */
static const struct {
	const char *name;
	enum bpf_map_type type;
	unsigned key, value, entries;
} plain[] = {
	{ "map:hash", BPF_MAP_TYPE_HASH, 4, 4, 1 },
	{ "map:array", BPF_MAP_TYPE_ARRAY, 4, 4, 1 },
	{ "map:prog_array", BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1 },
	{ "map:perf_event_array", BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1 },
	{ "map:percpu_hash", BPF_MAP_TYPE_PERCPU_HASH, 4, 4, 1 },
	{ "map:percpu_array", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 1 },
	{ "map:stack_trace", BPF_MAP_TYPE_STACK_TRACE, 4, 8, 1 },
	{ "map:cgroup_array", BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 1 },
	{ "map:lru_hash", BPF_MAP_TYPE_LRU_HASH, 4, 4, 1 },
	{ "map:lru_percpu_hash", BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 4, 1 },
	{ "map:devmap", BPF_MAP_TYPE_DEVMAP, 4, 4, 1 },
	{ "map:sockmap", BPF_MAP_TYPE_SOCKMAP, 4, 4, 1 },
	{ "map:cpumap", BPF_MAP_TYPE_CPUMAP, 4, 4, 1 },
	{ "map:xskmap", BPF_MAP_TYPE_XSKMAP, 4, 4, 1 },
	{ "map:sockhash", BPF_MAP_TYPE_SOCKHASH, 4, 4, 1 },
	{ "map:cgroup_storage", BPF_MAP_TYPE_CGROUP_STORAGE, sizeof(struct bpf_cgroup_storage_key), 8, 0 },
	{ "map:reuseport_sockarray", BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 4, 1 },
	{ "map:queue", BPF_MAP_TYPE_QUEUE, 0, 4, 1 },
	{ "map:stack", BPF_MAP_TYPE_STACK, 0, 4, 1 },
	{ "map:devmap_hash", BPF_MAP_TYPE_DEVMAP_HASH, 4, 4, 1 },
	{ "map:ringbuf", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096 },
	{ "map:bloom_filter", BPF_MAP_TYPE_BLOOM_FILTER, 0, 4, 1 },
};

static void probe(const char *name, union bpf_attr *attr)
{
	int map = bpf(BPF_MAP_CREATE, attr);

	report_result(name, map);
	if (map >= 0)
		close(map);
}

static void probe_nested(const char *name, enum bpf_map_type type)
{
	int inner = create_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
	union bpf_attr attr = { .map_type = type, .key_size = 4, .value_size = 4, .max_entries = 1, .inner_map_fd = inner };

	if (inner < 0) {
		report_result(name, inner);
		return;
	}
	probe(name, &attr);
	close(inner);
}

static void probe_lpm_trie(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_LPM_TRIE, .key_size = 8, .value_size = 8, .max_entries = 1, .map_flags = BPF_F_NO_PREALLOC };

	probe("map:lpm_trie", &attr);
}

/* Storage that belongs to a socket is described by BTF. */
static void probe_sk_storage(void)
{
	int btf = load_btf();
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_SK_STORAGE, .key_size = 4, .value_size = 4, .map_flags = BPF_F_NO_PREALLOC,
		.btf_fd = btf, .btf_key_type_id = 1, .btf_value_type_id = 1,
	};

	if (btf < 0) {
		report("map:sk_storage", judge(btf), "it takes btf:load");
		return;
	}
	probe("map:sk_storage", &attr);
	close(btf);
}

/* A kernel that knows the type looks for the BTF type of that number in its own BTF, and does not find it to be one of struct_ops. */
static void probe_struct_ops(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_STRUCT_OPS, .key_size = 4, .value_size = 4, .max_entries = 1, .btf_vmlinux_value_type_id = 1 };
	int map = bpf(BPF_MAP_CREATE, &attr);

	if (map == -ENOTSUPP)
		report("map:struct_ops", SUPPORTED, "");
	else
		report_result("map:struct_ops", map);
	if (map >= 0)
		close(map);
}

void probe_maps(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++) {
		int map = create_map(plain[i].type, plain[i].key, plain[i].value, plain[i].entries);

		report_result(plain[i].name, map);
		if (map >= 0)
			close(map);
	}
	probe_lpm_trie();
	probe_nested("map:array_of_maps", BPF_MAP_TYPE_ARRAY_OF_MAPS);
	probe_nested("map:hash_of_maps", BPF_MAP_TYPE_HASH_OF_MAPS);
	probe_sk_storage();
	probe_struct_ops();
}
