#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "netlink.h"
#include "probe.h"

/* A tunnel whose keys come with each packet from its program, as an agent's overlay has them, needs the flag `external`. */
static void vxlan_external(struct request *request)
{
	unsigned char on = 1;
	unsigned short port = 0x8521; /* 8581, network order: nobody's */

	attribute(request, IFLA_VXLAN_COLLECT_METADATA, &on, sizeof(on));
	attribute(request, IFLA_VXLAN_PORT, &port, sizeof(port));
}

static void geneve_external(struct request *request)
{
	attribute(request, IFLA_GENEVE_COLLECT_METADATA, NULL, 0);
}

static void ipvlan_l3(struct request *request)
{
	unsigned short l3 = 1;

	attribute(request, IFLA_IPVLAN_MODE, &l3, sizeof(l3));
}

static const struct {
	const char *name, *kind;
	void (*data)(struct request *request);
	/* It is a child of kb0. */
	bool child;
} links[] = {
	{ "link:bridge", "bridge", NULL, false },
	{ "link:vxlan-external", "vxlan", vxlan_external, false },
	{ "link:geneve-external", "geneve", geneve_external, false },
	{ "link:ipvlan", "ipvlan", ipvlan_l3, true },
	{ "link:netkit", "netkit", NULL, false },
};

static int create(const char *kind, void (*data)(struct request *), int parent)
{
	struct ifinfomsg none = { 0 };
	struct request request;
	struct rtattr *info, *at;

	begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none, sizeof(none));
	attribute_string(&request, IFLA_IFNAME, "kb2");
	if (parent)
		attribute_u32(&request, IFLA_LINK, parent);
	info = nest(&request, IFLA_LINKINFO);
	attribute_string(&request, IFLA_INFO_KIND, kind);
	if (data) {
		at = nest(&request, IFLA_INFO_DATA);
		data(&request);
		end_nest(&request, at);
	}
	end_nest(&request, info);
	return transact(&request);
}

/* Making a device may load its module: one that was not there before is taken out again. */
static bool has_module(const char *kind)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", kind);
	return access(path, F_OK) == 0;
}

static void probe(unsigned i, int parent)
{
	bool before = has_module(links[i].kind);
	int result = create(links[i].kind, links[i].data, links[i].child ? parent : 0);

	report_result(links[i].name, result);
	if (result == 0)
		delete_link("kb2");
	if (!before && has_module(links[i].kind))
		syscall(SYS_delete_module, links[i].kind, O_NONBLOCK);
}

void probe_links(void)
{
	int veth = create_veth();

	report_result("link:veth", veth);
	for (unsigned i = 0; i < ARRAY_SIZE(links); i++) {
		if (links[i].child && veth < 0)
			report(links[i].name, UNKNOWN, "there is no veth to put it on");
		else
			probe(i, veth);
	}
	if (veth > 0)
		delete_link("kb0");
}
