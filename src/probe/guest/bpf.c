#include <errno.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "probe.h"

static char text[16 * 1024];

int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	int result;

	/* The verifier asks again when a signal came in between. */
	for (int i = 0; i < 5; i++) {
		result = syscall(SYS_bpf, command, attr, sizeof(*attr));
		if (result >= 0 || errno != EAGAIN)
			break;
	}
	return result < 0 ? -errno : result;
}

int create_map(enum bpf_map_type type, unsigned key_size, unsigned value_size, unsigned entries)
{
	union bpf_attr attr = { .map_type = type, .key_size = key_size, .value_size = value_size, .max_entries = entries };

	return bpf(BPF_MAP_CREATE, &attr);
}

/* Kprobe programs had to name the kernel they were built for until 5.0. A stable version above 255 counts as 255. */
static unsigned version_code(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0, patch = 0;

	uname(&name);
	sscanf(name.release, "%u.%u.%u", &major, &minor, &patch);
	return (major << 16) + (minor << 8) + (patch > 255 ? 255 : patch);
}

int load_program(const struct program *program)
{
	union bpf_attr attr = {
		.prog_type = program->type,
		.insns = (unsigned long)program->insns,
		.insn_cnt = program->count,
		.license = (unsigned long)"GPL",
		.kern_version = version_code(),
		.expected_attach_type = program->attach_type,
		.attach_btf_id = program->attach_btf_id,
		.prog_flags = program->flags,
		.log_buf = (unsigned long)text,
		.log_size = sizeof(text),
		.log_level = 1,
	};
	int result;

	text[0] = '\0';
	result = bpf(BPF_PROG_LOAD, &attr);
	if (result != -ENOSPC)
		return result;
	/* A log longer than the buffer fails the load: again without one. */
	text[0] = '\0';
	attr.log_buf = attr.log_size = attr.log_level = 0;
	return bpf(BPF_PROG_LOAD, &attr);
}

int load_trivial(unsigned type, unsigned attach_type, int result)
{
	const struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, result), EXIT() };
	const struct program program = { .type = type, .insns = insns, .count = ARRAY_SIZE(insns), .attach_type = attach_type };

	return load_program(&program);
}

const char *verifier_log(void)
{
	return text;
}

/* The last line that is not of the verifier's statistics. */
const char *verifier_verdict(void)
{
	static char line[256];
	char *copy = strdup(text), *state = NULL;

	line[0] = '\0';
	for (char *next = copy ? strtok_r(copy, "\n", &state) : NULL; next; next = strtok_r(NULL, "\n", &state))
		if (strncmp(next, "processed ", 10) && strncmp(next, "verification time", 17) && strncmp(next, "stack depth", 11))
			snprintf(line, sizeof(line), "%s", next);
	free(copy);
	return line;
}

int load_btf(void)
{
	static const char names[] = "\0int";
	struct {
		struct btf_header header;
		struct btf_type type;
		unsigned encoding;
		char names[sizeof(names)];
	} __attribute__((packed)) btf = {
		.header = {
			.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(struct btf_header),
			.type_len = sizeof(struct btf_type) + sizeof(unsigned), .str_off = sizeof(struct btf_type) + sizeof(unsigned), .str_len = sizeof(names),
		},
		.type = { .name_off = 1, .info = BTF_KIND_INT << 24, .size = 4 },
		.encoding = BTF_INT_SIGNED << 24 | 32,
	};
	union bpf_attr attr = { .btf = (unsigned long)&btf, .btf_size = sizeof(btf) };

	memcpy(btf.names, names, sizeof(names));
	return bpf(BPF_BTF_LOAD, &attr);
}
