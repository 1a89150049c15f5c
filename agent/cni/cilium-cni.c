/*
 * The CNI plugin: hands kubelet's call to the agent over its socket and prints the agent's answer. It is static and has no interpreter to
 * start, since it runs for every pod. CNI: https://github.com/containernetworking/cni/blob/spec-v0.4.0/SPEC.md
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_PATH "/var/run/cilium/cilium.sock"
#define ANSWER_TIMEOUT_SECONDS 110 /* below kubelet's two minutes: its own error would tell less */
#define MAX_INPUT (1 << 20)
#define VERSIONS "{\"cniVersion\":\"0.4.0\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\"]}\n"

struct text { char *data; size_t length, capacity; };

static void append(struct text *text, const char *data, size_t length)
{
	if (text->length + length + 1 > text->capacity) {
		text->capacity = (text->length + length + 1) * 2;
		text->data = realloc(text->data, text->capacity);
		if (!text->data)
			_exit(1);
	}
	memcpy(text->data + text->length, data, length);
	text->length += length;
	text->data[text->length] = 0;
}

static void append_text(struct text *text, const char *data) { append(text, data, strlen(data)); }

static void append_json_string(struct text *text, const char *data, size_t length)
{
	char escaped[8];

	append_text(text, "\"");
	for (size_t i = 0; i < length; i++) {
		unsigned char c = data[i];

		if (c == '"' || c == '\\' || c < 0x20) {
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
			append_text(text, escaped);
		} else {
			append(text, data + i, 1);
		}
	}
	append_text(text, "\"");
}

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

static int read_all(int fd, struct text *text, size_t limit)
{
	char buffer[16384];
	ssize_t count;

	append_text(text, "");
	while ((count = read(fd, buffer, sizeof(buffer))) != 0) {
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		append(text, buffer, count);
		if (text->length > limit) {
			errno = EFBIG;
			return -1;
		}
	}
	return 0;
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t count = send(fd, data, length, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		data += count;
		length -= count;
	}
	return 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_SECONDS };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -1 : fd;
}

static int call_agent(const char *path, const struct text *body)
{
	struct text request = { 0 }, answer = { 0 };
	char length[64];
	const char *content;
	int status = 0, fd = connect_to(path);

	if (fd < 0)
		return fail(11, "cilium agent is not reachable at %s (%s): it is starting, or its pod on this node fails; see kubectl -n kube-system logs -l k8s-app=cilium", path, strerror(errno));
	append_text(&request, "POST /v1/cni HTTP/1.0\r\nContent-Type: application/json\r\n");
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", body->length);
	append_text(&request, length);
	append(&request, body->data, body->length);
	if (write_all(fd, request.data, request.length) < 0 || read_all(fd, &answer, MAX_INPUT) < 0)
		return fail(11, "cilium agent at %s gave no answer in %d s (%s): see its log", path, ANSWER_TIMEOUT_SECONDS, strerror(errno));
	content = strstr(answer.data, "\r\n\r\n");
	if (sscanf(answer.data, "HTTP/1.%*d %d", &status) != 1 || !content)
		return fail(11, "cilium agent at %s broke off its answer: it is restarting", path);
	puts(content + 4);
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
