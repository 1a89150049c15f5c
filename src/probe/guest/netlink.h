/* Requests to rtnetlink, one at a time; each waits for its answer. Results are 0 or a negative errno. */
#ifndef NETLINK_H
#define NETLINK_H
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

struct request {
	struct nlmsghdr header;
	char body[1024];
};

/* Begins a request with its family's fixed part. */
void begin(struct request *request, int type, int flags, const void *fixed, unsigned length);
void attribute(struct request *request, int type, const void *data, unsigned length);
void attribute_u32(struct request *request, int type, unsigned value);
void attribute_string(struct request *request, int type, const char *value);
/* Opens an attribute that holds others; end_nest takes what it answers. */
struct rtattr *nest(struct request *request, int type);
void end_nest(struct request *request, struct rtattr *attribute);
int transact(struct request *request);

/* A pair kb0/kb1; answers the index of kb0, or a negative errno. */
int create_veth(void);
int delete_link(const char *name);
/* By the kernel's index; 0 if there is none of that name. */
int link_index(const char *name);

#endif
