#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "probe.h"

/* A program of 4.4 may have 4,096 instructions; from 5.2 root's are limited by the million that the verifier goes through. */
#define LONG_PROGRAM 5000

/* Programs that are correct: a verifier that refuses one lacks the feature, and says so. */
static void probe(const char *name, unsigned type, const struct bpf_insn *insns, unsigned count)
{
	const struct program program = { .type = type, .insns = insns, .count = count };
	int fd = load_program(&program);
	const char *verdict = verifier_verdict();

	if (fd >= 0)
		close(fd);
	if (fd < 0 && *verdict)
		report(name, UNSUPPORTED, verdict);
	else
		report_result(name, fd);
}

#define PROBE(name, type, ...) \
	do { \
		const struct bpf_insn insns[] = { __VA_ARGS__ }; \
		probe(name, type, insns, ARRAY_SIZE(insns)); \
	} while (0)

static void probe_long_program(void)
{
	struct bpf_insn *insns = calloc(LONG_PROGRAM, sizeof(*insns));

	for (int i = 0; insns && i < LONG_PROGRAM - 1; i++)
		insns[i] = MOV_IMM(BPF_REG_0, 0);
	if (insns) {
		insns[LONG_PROGRAM - 1] = EXIT();
		probe("limit:insns-1m", BPF_PROG_TYPE_SOCKET_FILTER, insns, LONG_PROGRAM);
	}
	free(insns);
}

static void probe_limits(void)
{
	PROBE("limit:stack-512", BPF_PROG_TYPE_SOCKET_FILTER, STORE_IMM(BPF_DW, BPF_REG_10, -512, 0), MOV_IMM(BPF_REG_0, 0), EXIT());
	PROBE("limit:bounded-loops", BPF_PROG_TYPE_SOCKET_FILTER,
	      MOV_IMM(BPF_REG_0, 0), ALU_IMM(BPF_ADD, BPF_REG_0, 1), JUMP_IMM(BPF_JNE, BPF_REG_0, 10, -2), EXIT());
	PROBE("limit:bpf-calls", BPF_PROG_TYPE_SOCKET_FILTER,
	      INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 1), EXIT(), MOV_IMM(BPF_REG_0, 0), EXIT());
	probe_long_program();
}

static void probe_tail_call_after_call(void)
{
	int map = create_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);

	if (map < 0) {
		report_result("limit:tail-calls-with-bpf-calls", map);
		return;
	}
	PROBE("limit:tail-calls-with-bpf-calls", BPF_PROG_TYPE_SCHED_CLS,
	      MOV_REG(BPF_REG_6, BPF_REG_1),
	      INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 7), /* to the last two */
	      MOV_REG(BPF_REG_1, BPF_REG_6), LOAD_MAP(BPF_REG_2, BPF_PSEUDO_MAP_FD, map), MOV_IMM(BPF_REG_3, 0), CALL(BPF_FUNC_tail_call),
	      MOV_IMM(BPF_REG_0, 0), EXIT(),
	      MOV_IMM(BPF_REG_0, 0), EXIT());
	close(map);
}

/* Reads, or writes, the packet's first byte, having compared with its end. */
static void probe_packet_access(const char *name, struct bpf_insn access)
{
	PROBE(name, BPF_PROG_TYPE_SCHED_CLS,
	      LOAD(BPF_W, BPF_REG_2, BPF_REG_1, (int)__builtin_offsetof(struct __sk_buff, data)),
	      LOAD(BPF_W, BPF_REG_3, BPF_REG_1, (int)__builtin_offsetof(struct __sk_buff, data_end)),
	      MOV_REG(BPF_REG_4, BPF_REG_2), ALU_IMM(BPF_ADD, BPF_REG_4, 1), JUMP_REG(BPF_JGT, BPF_REG_4, BPF_REG_3, 1), access,
	      MOV_IMM(BPF_REG_0, 0), EXIT());
}

static void probe_map_values(void)
{
	int map = create_map(BPF_MAP_TYPE_ARRAY, 4, 16, 1);

	if (map < 0) {
		report_result("access:map-value-dynamic", map);
		report_result("access:global-data", map);
		return;
	}
	/* An index that is read at run time, below 8, into a value of 16 bytes. */
	PROBE("access:map-value-dynamic", BPF_PROG_TYPE_SOCKET_FILTER,
	      STORE_IMM(BPF_W, BPF_REG_10, -4, 0), MOV_REG(BPF_REG_2, BPF_REG_10), ALU_IMM(BPF_ADD, BPF_REG_2, -4),
	      LOAD_MAP(BPF_REG_1, BPF_PSEUDO_MAP_FD, map), CALL(BPF_FUNC_map_lookup_elem), JUMP_IMM(BPF_JEQ, BPF_REG_0, 0, 4),
	      LOAD(BPF_B, BPF_REG_1, BPF_REG_0, 0), ALU_IMM(BPF_AND, BPF_REG_1, 7), ALU_REG(BPF_ADD, BPF_REG_0, BPF_REG_1),
	      LOAD(BPF_B, BPF_REG_1, BPF_REG_0, 0), MOV_IMM(BPF_REG_0, 0), EXIT());
	PROBE("access:global-data", BPF_PROG_TYPE_SOCKET_FILTER,
	      LOAD_MAP(BPF_REG_1, BPF_PSEUDO_MAP_VALUE, map), LOAD(BPF_B, BPF_REG_0, BPF_REG_1, 0), EXIT());
	close(map);
}

static void probe_instruction_sets(void)
{
	PROBE("isa:v2", BPF_PROG_TYPE_SOCKET_FILTER, MOV_IMM(BPF_REG_0, 0), JUMP_IMM(BPF_JLT, BPF_REG_0, 1, 0), EXIT());
	PROBE("isa:v3", BPF_PROG_TYPE_SOCKET_FILTER, MOV_IMM(BPF_REG_0, 0), INSN(BPF_JMP32 | BPF_JLT | BPF_K, BPF_REG_0, 0, 0, 1), EXIT());
	/* Signed division is marked by an offset of 1. */
	PROBE("isa:v4", BPF_PROG_TYPE_SOCKET_FILTER, MOV_IMM(BPF_REG_0, 4), INSN(BPF_ALU64 | BPF_DIV | BPF_K, BPF_REG_0, 0, 1, 2), EXIT());
	PROBE("isa:atomics", BPF_PROG_TYPE_SOCKET_FILTER,
	      MOV_IMM(BPF_REG_0, 1), STORE_IMM(BPF_DW, BPF_REG_10, -8, 0),
	      INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_10, BPF_REG_0, -8, BPF_ADD | BPF_FETCH), MOV_IMM(BPF_REG_0, 0), EXIT());
}

void probe_verifier(void)
{
	probe_limits();
	probe_tail_call_after_call();
	probe_packet_access("access:packet-read", LOAD(BPF_B, BPF_REG_0, BPF_REG_2, 0));
	probe_packet_access("access:packet-write", STORE_IMM(BPF_B, BPF_REG_2, 0, 0));
	probe_map_values();
	probe_instruction_sets();
}
