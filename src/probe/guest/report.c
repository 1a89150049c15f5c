#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "probe.h"

static void print_string(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (*c < 0x20 || *c > 0x7e)
			printf("\\u%04x", *c);
		else
			putchar(*c);
	}
	putchar('"');
}

void report(const char *name, enum state state, const char *note)
{
	static const char *const names[] = { "supported", "unsupported", "unknown" };

	printf("{\"name\":");
	print_string(name);
	printf(",\"state\":\"%s\"", names[state]);
	if (note && *note) {
		printf(",\"note\":");
		print_string(note);
	}
	printf("}\n");
	fflush(stdout); /* what is known stays known if the next probe takes the kernel down */
}

enum state judge(int result)
{
	switch (-result) {
	case EINVAL: /* an unknown command, type or flag */
	case E2BIG: /* a field that this kernel's struct has not */
	case ENOSYS:
	case EOPNOTSUPP:
	case ENOTSUPP:
	case EPROTONOSUPPORT:
		return UNSUPPORTED;
	}
	return result >= 0 ? SUPPORTED : UNKNOWN;
}

const char *error_text(int error)
{
	const char *name = error == ENOTSUPP ? "ENOTSUPP" : strerrorname_np(error);
	static char number[24];

	if (name)
		return name;
	snprintf(number, sizeof(number), "errno %d", error);
	return number;
}

void report_result(const char *name, int result)
{
	report(name, judge(result), result < 0 ? error_text(-result) : "");
}
