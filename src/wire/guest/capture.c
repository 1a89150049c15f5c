/*
 * kb-capture DEVICE: what a machine sends on a device, as pcap records (16 bytes of header, nanoseconds, little-endian; then the frame) on stdout. What comes in is left to
 * the machine that sends it, so that a capture on every machine has each frame once. A record without data is a message: its length on the wire is 0 for the greeting, with the guest's
 * time, and the number of a line on stdin for the answer to it, after all frames sent before that line was read; its seconds are then how many frames were lost. Ends with stdin.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct record {
	uint32_t seconds, nanos, captured, length;
};

static const int receive_buffer = 16 << 20;
static unsigned long lost;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const void *data, size_t length)
{
	if (fwrite(data, 1, length, stdout) != length)
		fail("stdout");
}

static void message(uint32_t seconds, uint32_t nanos, uint32_t number)
{
	struct record record = { seconds, nanos, 0, number };

	put(&record, sizeof(record));
	if (fflush(stdout))
		fail("stdout");
}

static int open_socket(const char *device)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;

	if (at.sll_ifindex == 0)
		fail(device);
	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer));
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		fail("SO_TIMESTAMPNS");
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail("bind");
	return fd;
}

/* False when nothing is queued. */
static int take(int fd)
{
	static char frame[70000];
	char control[256];
	struct sockaddr_ll from;
	struct iovec into = { frame, sizeof(frame) };
	struct msghdr header = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &into, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t length = recvmsg(fd, &header, MSG_DONTWAIT | MSG_TRUNC);
	struct timespec time = { 0 };
	struct record record;

	if (length < 0) {
		if (errno == EAGAIN)
			return 0;
		/* The device went down: what it sends afterwards is seen again. */
		if (errno == ENETDOWN || errno == EINTR)
			return 1;
		fail("recvmsg");
	}
	if (from.sll_pkttype != PACKET_OUTGOING)
		return 1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&time, CMSG_DATA(c), sizeof(time));
	record = (struct record){ (uint32_t)time.tv_sec, (uint32_t)time.tv_nsec, (uint32_t)length, (uint32_t)length };
	if (record.captured > sizeof(frame))
		record.captured = sizeof(frame);
	put(&record, sizeof(record));
	put(frame, record.captured);
	return 1;
}

static void count_lost(int fd)
{
	struct tpacket_stats stats;
	socklen_t length = sizeof(stats);

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length) == 0)
		lost += stats.tp_drops;
}

int main(int argc, char **argv)
{
	struct pollfd polled[2] = { { .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
	uint32_t lines = 0;
	struct timespec now;

	if (argc != 2) {
		fprintf(stderr, "usage: kb-capture DEVICE\n");
		return 2;
	}
	polled[0].fd = open_socket(argv[1]);
	clock_gettime(CLOCK_REALTIME, &now);
	message((uint32_t)now.tv_sec, (uint32_t)now.tv_nsec, 0);
	for (;;) {
		char text[512];
		ssize_t length = 0;

		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		if (polled[1].revents && (length = read(STDIN_FILENO, text, sizeof(text))) <= 0)
			return 0;
		while (take(polled[0].fd))
			;
		for (ssize_t i = 0; i < length; i++) {
			if (text[i] != '\n')
				continue;
			count_lost(polled[0].fd);
			message((uint32_t)lost, 0, ++lines);
		}
		if (fflush(stdout))
			fail("stdout");
	}
}
