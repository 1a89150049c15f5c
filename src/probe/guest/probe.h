/* Asks the running kernel what it can do, by doing it: every feature is tried with the real system call, none is guessed from the version. */
#ifndef PROBE_H
#define PROBE_H
#include <linux/bpf.h>
#include <stdbool.h>

enum state { SUPPORTED, UNSUPPORTED, UNKNOWN };

/* report.c: one JSON line a feature on stdout. */
void report(const char *name, enum state state, const char *note);
/* What an attempt's result (0 or more, or a negative errno) says, with the errno as the note. */
void report_result(const char *name, int result);
/* Errnos with which kernels refuse what they do not know; any other leaves it open. */
enum state judge(int result);
const char *error_text(int error);

/* bpf.c: answer a file descriptor (or 0), or a negative errno. */
int bpf(enum bpf_cmd command, union bpf_attr *attr);
int create_map(enum bpf_map_type type, unsigned key_size, unsigned value_size, unsigned entries);
struct program {
	unsigned type;
	const struct bpf_insn *insns;
	unsigned count;
	unsigned attach_type;
	unsigned attach_btf_id;
	unsigned flags;
};
int load_program(const struct program *program);
/* `r0 = result; exit`. */
int load_trivial(unsigned type, unsigned attach_type, int result);
/* What the verifier said of the last program: whole, and its verdict alone ("" when it said nothing). */
const char *verifier_log(void);
const char *verifier_verdict(void);
/* A BTF object with one type, `int` (id 1). */
int load_btf(void);

/* The groups. Network devices are made in a namespace of the process's own. */
void probe_maps(void);
void probe_programs(void);
void probe_helpers(void);
void probe_verifier(void);
void probe_commands(void);
void probe_files(void);
void probe_links(void);
void probe_attach(void);
void probe_cgroup(void);

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define INSN(op, dst, src, o, i) ((struct bpf_insn){ .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (o), .imm = (i) })
#define MOV_IMM(dst, imm) INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
#define MOV_REG(dst, src) INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define ALU_IMM(op, dst, imm) INSN(BPF_ALU64 | (op) | BPF_K, dst, 0, 0, imm)
#define ALU_REG(op, dst, src) INSN(BPF_ALU64 | (op) | BPF_X, dst, src, 0, 0)
#define JUMP_IMM(op, dst, imm, off) INSN(BPF_JMP | (op) | BPF_K, dst, 0, off, imm)
#define JUMP_REG(op, dst, src, off) INSN(BPF_JMP | (op) | BPF_X, dst, src, off, 0)
#define LOAD(size, dst, src, off) INSN(BPF_LDX | BPF_MEM | (size), dst, src, off, 0)
#define STORE_IMM(size, dst, off, imm) INSN(BPF_ST | BPF_MEM | (size), dst, 0, off, imm)
#define LOAD_MAP(dst, kind, fd) INSN(BPF_LD | BPF_IMM | BPF_DW, dst, kind, 0, fd), INSN(0, 0, 0, 0, 0)
#define CALL(id) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, id)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Newer than the headers of the host that this is built on may be. */
#define TYPE_NETFILTER 32
#define ATTACH_NETFILTER 45
#define ATTACH_TCX_INGRESS 46
/* The kernel's own errno for what a subsystem lacks; not in user space's list. */
#define ENOTSUPP 524

#endif
