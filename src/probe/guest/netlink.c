#include <errno.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "netlink.h"

void begin(struct request *request, int type, int flags, const void *fixed, unsigned length)
{
	memset(request, 0, sizeof(*request));
	request->header = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(length), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags };
	memcpy(NLMSG_DATA(&request->header), fixed, length);
}

static struct rtattr *end_of(struct request *request)
{
	return (struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
}

void attribute(struct request *request, int type, const void *data, unsigned length)
{
	struct rtattr *at = end_of(request);

	*at = (struct rtattr){ .rta_len = RTA_LENGTH(length), .rta_type = type };
	if (length)
		memcpy(RTA_DATA(at), data, length);
	request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(at->rta_len);
}

void attribute_u32(struct request *request, int type, unsigned value)
{
	attribute(request, type, &value, sizeof(value));
}

void attribute_string(struct request *request, int type, const char *value)
{
	attribute(request, type, value, strlen(value) + 1);
}

struct rtattr *nest(struct request *request, int type)
{
	struct rtattr *at = end_of(request);

	attribute(request, type, NULL, 0);
	return at;
}

void end_nest(struct request *request, struct rtattr *at)
{
	at->rta_len = (char *)end_of(request) - (char *)at;
}

int transact(struct request *request)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	char answer[4096];
	int result = fd < 0 ? -errno : -EIO;
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer;

	if (fd < 0)
		return result;
	if (send(fd, request, request->header.nlmsg_len, 0) < 0 || recv(fd, answer, sizeof(answer), 0) < (int)NLMSG_LENGTH(sizeof(int)))
		result = -errno;
	else if (header->nlmsg_type == NLMSG_ERROR)
		result = ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
	close(fd);
	return result;
}

static void peer(struct request *request, const char *name)
{
	struct ifinfomsg none = { 0 };
	struct rtattr *at = nest(request, VETH_INFO_PEER);

	memcpy(end_of(request), &none, sizeof(none));
	request->header.nlmsg_len += sizeof(none);
	attribute_string(request, IFLA_IFNAME, name);
	end_nest(request, at);
}

int create_veth(void)
{
	struct ifinfomsg none = { 0 };
	struct request request;
	struct rtattr *info, *data;
	int result;

	begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none, sizeof(none));
	attribute_string(&request, IFLA_IFNAME, "kb0");
	info = nest(&request, IFLA_LINKINFO);
	attribute_string(&request, IFLA_INFO_KIND, "veth");
	data = nest(&request, IFLA_INFO_DATA);
	peer(&request, "kb1");
	end_nest(&request, data);
	end_nest(&request, info);
	result = transact(&request);
	return result ? result : link_index("kb0");
}

int delete_link(const char *name)
{
	struct ifinfomsg none = { 0 };
	struct request request;

	begin(&request, RTM_DELLINK, 0, &none, sizeof(none));
	attribute_string(&request, IFLA_IFNAME, name);
	return transact(&request);
}

int link_index(const char *name)
{
	return if_nametoindex(name);
}
