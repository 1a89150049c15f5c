/*
 * The CNI plugin: hands kubelet's call to the agent over its socket and prints the agent's answer. It is static and has no interpreter to
 * start, since it runs for every pod. CNI: https://github.com/containernetworking/cni/blob/spec-v0.4.0/SPEC.md
 */
#include <stdarg.h>
#include "agent-socket.h"

#define MAX_INPUT (1 << 20)
#define VERSIONS "{\"cniVersion\":\"0.4.0\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\"]}\n"

static void append_field(struct text *text, const char *name, const char *value, size_t length)
{
	append_text(text, text->length == 0 ? "{" : ",");
	append_json_string(text, name, strlen(name));
	append_text(text, ":");
	append_json_string(text, value, length);
}

static void append_env(struct text *text, const char *name, const char *variable)
{
	const char *value = getenv(variable);

	append_field(text, name, value ? value : "", value ? strlen(value) : 0);
}

/* Prints a CNI error and returns the exit code. Code 11: try again later. */
static int fail(int code, const char *format, ...)
{
	struct text out = { 0 };
	char message[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	append_json_string(&out, message, strlen(message));
	printf("{\"cniVersion\":\"0.3.1\",\"code\":%d,\"msg\":%s}\n", code, out.data);
	return 1;
}

static int call_agent(const char *path, const struct text *body)
{
	struct text answer = { 0 };
	const char *content;
	int reached, status = post(path, "/v1/cni", body, &answer, MAX_INPUT, &content, &reached);

	if (!reached)
		return fail(11, "cilium agent is not reachable at %s (%s): it is starting, or its pod on this node fails; see kubectl -n kube-system logs -l k8s-app=cilium", path, strerror(errno));
	if (!status)
		return fail(11, "cilium agent at %s gave no whole answer in %d s (%s): it hangs or is restarting; see its log", path, ANSWER_TIMEOUT_SECONDS, strerror(errno));
	puts(content);
	return status == 200 ? 0 : 1;
}

int main(void)
{
	const char *command = getenv("CNI_COMMAND"), *path = getenv("CILIUM_SOCK");
	struct text input = { 0 }, body = { 0 };

	if (!command)
		return fail(4, "CNI_COMMAND is not set: this program is called by the container runtime");
	if (strcmp(command, "VERSION") == 0) {
		fputs(VERSIONS, stdout);
		return 0;
	}
	if (read_all(STDIN_FILENO, &input, MAX_INPUT) < 0)
		return fail(5, "cannot read the network configuration from standard input: %s", strerror(errno));
	append_field(&body, "command", command, strlen(command));
	append_env(&body, "containerId", "CNI_CONTAINERID");
	append_env(&body, "netns", "CNI_NETNS");
	append_env(&body, "ifname", "CNI_IFNAME");
	append_env(&body, "args", "CNI_ARGS");
	append_field(&body, "config", input.data, input.length);
	append_text(&body, "}");
	return call_agent(path ? path : SOCKET_PATH, &body);
}
