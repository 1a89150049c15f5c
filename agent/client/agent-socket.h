/*
 * What the static programs of the image have in common: text that grows, JSON strings, and one HTTP request to the agent's Unix socket.
 * Functions are static: each program is one file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_PATH "/var/run/cilium/cilium.sock"
#define ANSWER_TIMEOUT_SECONDS 110 /* below kubelet's two minutes: its own error would tell less */

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

/*
 * Sends a JSON body and reads the whole answer, which ends with the connection. Returns the HTTP status and where the answer's body begins; 0 with errno when the agent
 * can't be reached (reached = 0) or breaks off (reached = 1).
 */
static int post(const char *path, const char *url, const struct text *body, struct text *answer, size_t limit, const char **content, int *reached)
{
	struct text request = { 0 };
	char length[64];
	int status = 0, fd = connect_to(path);

	*reached = fd >= 0;
	if (fd < 0)
		return 0;
	append_text(&request, "POST ");
	append_text(&request, url);
	append_text(&request, " HTTP/1.0\r\nContent-Type: application/json\r\n");
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", body->length);
	append_text(&request, length);
	append(&request, body->data, body->length);
	if (write_all(fd, request.data, request.length) < 0 || read_all(fd, answer, limit) < 0)
		return 0;
	*content = strstr(answer->data, "\r\n\r\n");
	if (sscanf(answer->data, "HTTP/1.%*d %d", &status) != 1 || !*content) {
		errno = EPIPE;
		return 0;
	}
	*content += 4;
	return status;
}
