/*
 * `cilium`: asks the agent to run the command line in its own process, which answers in milliseconds; a Node of one's own takes a second or two to start
 * in an emulated machine. Where the agent isn't there, or says that the command has to run by itself (it streams, or reads files), Node runs it.
 */
#include "agent-socket.h"

#define MAX_ANSWER (256 << 20)
#define STANDALONE 501
#ifndef NODE
#define NODE "/usr/bin/node"
#endif
/* What the agent is told first, when this is not `cilium` but another of its programs: "cilium-health". */
#ifndef PROGRAM
#define PROGRAM ""
#endif
#ifndef SCRIPT
#define SCRIPT "/opt/lash/cilium.cjs"
#endif

static void run_standalone(char **argv, int argc)
{
	char **args = calloc(argc + 4, sizeof(char *));
	int count = 3;

	if (!args)
		_exit(1);
	args[0] = NODE;
	args[1] = "--no-warnings";
	args[2] = SCRIPT;
	if (PROGRAM[0])
		args[count++] = PROGRAM;
	for (int i = 1; i < argc; i++)
		args[count++] = argv[i];
	/* Saves parsing the bundle again. */
	setenv("NODE_COMPILE_CACHE", "/var/cache/lash", 0);
	execv(args[0], args);
	perror(args[0]);
	_exit(127);
}

static long header(const char *answer, const char *content, const char *name)
{
	const char *at = strstr(answer, name);

	return at && at < content ? atol(at + strlen(name)) : -1;
}

static int put(FILE *out, const char *data, size_t length)
{
	return fwrite(data, 1, length, out) == length && fflush(out) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	const char *path = getenv("CILIUM_SOCK"), *content = NULL;
	struct text body = { 0 }, answer = { 0 };
	long exit_code, stdout_length, length;
	int reached, status;

	append_text(&body, "{\"argv\":[");
	if (PROGRAM[0])
		append_json_string(&body, PROGRAM, strlen(PROGRAM));
	for (int i = 1; i < argc; i++) {
		if (i > 1 || PROGRAM[0])
			append_text(&body, ",");
		append_json_string(&body, argv[i], strlen(argv[i]));
	}
	append_text(&body, "]}");
	status = post(path ? path : SOCKET_PATH, "/v1/command", &body, &answer, MAX_ANSWER, &content, &reached);
	if (!reached || status == STANDALONE || status == 404)
		run_standalone(argv, argc);
	exit_code = status ? header(answer.data, content, "\r\nx-exit-code: ") : -1;
	stdout_length = status ? header(answer.data, content, "\r\nx-stdout-length: ") : -1;
	length = status ? answer.data + answer.length - content : 0;
	if (exit_code < 0 || stdout_length < 0 || length < stdout_length || header(answer.data, content, "\r\ncontent-length: ") != length) {
		fprintf(stderr, "Error: the agent broke off its answer: it is restarting\n");
		return 1;
	}
	if (put(stdout, content, stdout_length) < 0 || put(stderr, content + stdout_length, length - stdout_length) < 0)
		return 1;
	return exit_code;
}
