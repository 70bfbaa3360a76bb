/* The floor of an ADD and of a DEL: the fewest netlink calls that give a pod the link that podlan gives it, with the same
 * promise: when it ends, the link is operationally up and packets pass, in both directions and families. No network
 * configuration is read, no address leased, nothing hardened, marked or undone, and no result printed: what any CNI
 * plugin costs above this is its own. scripts/bench links it with musl: glibc's start is no part of a pod's link.
 *
 *   floor add NETNS HOST_IF [v4 ADDRESS] [v6 ADDRESS]
 *   floor del HOST_IF
 *
 * Called as a CNI plugin (CNI_COMMAND) it does the same, with the addresses V4 and V6 of CNI_ARGS, and prints the least
 * result.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU 1500

/* IF_OPER_UP of linux/if.h, which cannot be included beside net/if.h. */
#define OPERSTATE_UP 6

/* Seconds until the route expires that stands in for the kernel's own; looks at a link that is not up yet. */
#define LIFETIME 60
#define LOOKS 10000

static const unsigned char HOST_MAC[6] = {2, 0, 0, 0, 0, 1}, POD_MAC[6] = {2, 0, 0, 0, 0, 2};

/* The messages of one send, and the last of them, which alone asks for an acknowledgement: a refused one is answered anyway. */
static char batch[4096];
static size_t used;
static struct nlmsghdr *last;

/* What the kernel answered last to `look`. */
static int operstate;

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void append(const void *bytes, size_t length) {
    memcpy(batch + used, bytes, length);
    used += NLMSG_ALIGN(length);
}

static struct nlmsghdr *begin(int type, int flags, const void *family, size_t length) {
    struct nlmsghdr *header = (struct nlmsghdr *)(batch + used);
    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    last = header;
    used += NLMSG_HDRLEN;
    append(family, length);
    return header;
}

static void end(struct nlmsghdr *header) { header->nlmsg_len = batch + used - (char *)header; }

static void attribute(int type, const void *bytes, size_t length) {
    struct rtattr *head = (struct rtattr *)(batch + used);
    head->rta_type = type;
    head->rta_len = RTA_LENGTH(length);
    used += RTA_LENGTH(0);
    append(bytes, length);
}

static void number(int type, unsigned value) { attribute(type, &value, sizeof value); }

static struct rtattr *nest(int type) {
    struct rtattr *head = (struct rtattr *)(batch + used);
    head->rta_type = type;
    used += RTA_LENGTH(0);
    return head;
}

static void unnest(struct rtattr *head) { head->rta_len = batch + used - (char *)head; }

static int open_socket(void) {
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0) die("open a netlink socket");
    return netlink;
}

static void read_link(struct nlmsghdr *message) {
    int length = IFLA_PAYLOAD(message);
    struct rtattr *head = IFLA_RTA((struct ifinfomsg *)NLMSG_DATA(message));
    for (; RTA_OK(head, length); head = RTA_NEXT(head, length))
        if (head->rta_type == IFLA_OPERSTATE) operstate = *(unsigned char *)RTA_DATA(head);
}

/* Sends the batch, and reads until its acknowledgement. */
static void commit(int netlink, const char *what) {
    char reply[8192];
    last->nlmsg_flags |= NLM_F_ACK;
    if (send(netlink, batch, used, 0) < 0) die(what);
    for (used = 0; last;) {
        ssize_t length = recv(netlink, reply, sizeof reply, 0);
        if (length < 0) die(what);
        for (struct nlmsghdr *h = (struct nlmsghdr *)reply; NLMSG_OK(h, length); h = NLMSG_NEXT(h, length)) {
            if (h->nlmsg_type == RTM_NEWLINK) read_link(h);
            if (h->nlmsg_type != NLMSG_ERROR) continue;
            errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
            if (errno) die(what);
            last = NULL;
        }
    }
}

static unsigned index_of(int any_socket, const char *name) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(any_socket, SIOCGIFINDEX, &request) < 0) die(name);
    return request.ifr_ifindex;
}

static void make_pair(int netlink, int netns, const char *host) {
    struct ifinfomsg link = {0};
    struct nlmsghdr *message = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
    attribute(IFLA_IFNAME, host, strlen(host) + 1);
    attribute(IFLA_ADDRESS, HOST_MAC, 6);
    number(IFLA_MTU, MTU);
    struct rtattr *info = nest(IFLA_LINKINFO);
    attribute(IFLA_INFO_KIND, "veth", 5);
    struct rtattr *data = nest(IFLA_INFO_DATA), *peer = nest(VETH_INFO_PEER);
    append(&link, sizeof link);
    attribute(IFLA_IFNAME, "eth0", 5);
    attribute(IFLA_ADDRESS, POD_MAC, 6);
    number(IFLA_MTU, MTU);
    number(IFLA_NET_NS_FD, netns);
    unnest(peer), unnest(data), unnest(info);
    end(message);
    commit(netlink, "make the pair");
}

static void up(unsigned index) {
    struct ifinfomsg link = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    end(begin(RTM_NEWLINK, 0, &link, sizeof link));
}

/* Asks for the link: the kernel first does what is overdue for it, and activates its queue. */
static void look(unsigned index) {
    struct ifinfomsg link = {.ifi_index = index};
    struct nlmsghdr *message = begin(RTM_GETLINK, 0, &link, sizeof link);
    number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    end(message);
}

static void address(unsigned index, int family, const char *text, int bits, int scope) {
    unsigned char bytes[16];
    size_t length = family == AF_INET ? 4 : 16;
    inet_pton(family, text, bytes);
    struct ifaddrmsg m = {.ifa_family = family, .ifa_prefixlen = bits, .ifa_scope = scope, .ifa_index = index};
    if (family == AF_INET6) m.ifa_flags = IFA_F_NODAD;
    struct nlmsghdr *message = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof m);
    attribute(IFA_LOCAL, bytes, length);
    if (family == AF_INET) attribute(IFA_ADDRESS, bytes, length);
    end(message);
}

static void neighbour(unsigned index, int family, const char *text, const unsigned char *mac) {
    unsigned char bytes[16];
    inet_pton(family, text, bytes);
    struct ndmsg m = {.ndm_family = family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
    struct nlmsghdr *message = begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof m);
    attribute(NDA_DST, bytes, family == AF_INET ? 4 : 16);
    attribute(NDA_LLADDR, mac, 6);
    end(message);
}

/* A route by a link: to one address, or the default route by a gateway that is on the link. */
static void route(unsigned index, int family, const char *to, const char *gateway) {
    unsigned char bytes[16];
    size_t length = family == AF_INET ? 4 : 16;
    struct rtmsg m = {.rtm_family = family, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC};
    m.rtm_type = RTN_UNICAST;
    m.rtm_dst_len = to ? length * 8 : 0;
    m.rtm_flags = gateway ? RTNH_F_ONLINK : 0;
    struct nlmsghdr *message = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof m);
    number(RTA_OIF, index);
    if (to) inet_pton(family, to, bytes), attribute(RTA_DST, bytes, length);
    if (gateway) inet_pton(family, gateway, bytes), attribute(RTA_GATEWAY, bytes, length);
    end(message);
}

/* Accepts packets to an IPv6 address before the kernel has done its own part. */
static void accept_v6(unsigned index, const char *text) {
    unsigned char bytes[16];
    inet_pton(AF_INET6, text, bytes);
    struct rtmsg m = {.rtm_family = AF_INET6, .rtm_table = RT_TABLE_LOCAL, .rtm_protocol = RTPROT_KERNEL};
    m.rtm_type = RTN_LOCAL;
    m.rtm_dst_len = 128;
    struct nlmsghdr *message = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof m);
    attribute(RTA_DST, bytes, sizeof bytes);
    number(RTA_OIF, index);
    number(RTA_PRIORITY, index);
    number(RTA_EXPIRES, LIFETIME);
    end(message);
}

static void add(int words, char **word) {
    const char *host = word[1];
    int netns = open(word[0], O_RDONLY | O_CLOEXEC);
    if (netns < 0) die(word[0]);
    int node = open_socket();
    make_pair(node, netns, host);
    unsigned host_index = index_of(node, host);
    up(host_index);
    for (int i = 2; i + 1 < words; i += 2) {
        int family = strcmp(word[i], "v4") ? AF_INET6 : AF_INET;
        const char *gateway = family == AF_INET ? "169.254.1.1" : "fe80::1";
        address(host_index, family, gateway, family == AF_INET ? 32 : 64, RT_SCOPE_LINK);
        if (family == AF_INET6) accept_v6(host_index, gateway);
        route(host_index, family, word[i + 1], NULL);
    }
    commit(node, "set up the host end");
    if (setns(netns, CLONE_NEWNET) < 0) die("enter the namespace");
    int pod = open_socket();
    unsigned index = index_of(pod, "eth0");
    up(1);
    up(index);
    for (int i = 2; i + 1 < words; i += 2) {
        int family = strcmp(word[i], "v4") ? AF_INET6 : AF_INET;
        const char *gateway = family == AF_INET ? "169.254.1.1" : "fe80::1";
        address(index, family, word[i + 1], family == AF_INET ? 32 : 128, RT_SCOPE_UNIVERSE);
        if (family == AF_INET6) accept_v6(index, word[i + 1]);
        if (family == AF_INET) route(index, family, gateway, NULL);
        route(index, family, NULL, gateway);
        neighbour(index, family, gateway, HOST_MAC);
    }
    commit(pod, "set up the pod's end");
    look(host_index);
    for (int i = 2; i + 1 < words; i += 2)
        neighbour(host_index, strcmp(word[i], "v4") ? AF_INET6 : AF_INET, word[i + 1], POD_MAC);
    commit(node, "add the node's neighbours");
    for (int looks = 0; operstate != OPERSTATE_UP; looks++) {
        if (looks == LOOKS) errno = ETIMEDOUT, die("wait for the link");
        usleep(1000);
        look(host_index);
        commit(node, "look at the link");
    }
}

static void del(const char *host) {
    int netlink = open_socket();
    struct ifinfomsg link = {0};
    struct nlmsghdr *message = begin(RTM_DELLINK, 0, &link, sizeof link);
    attribute(IFLA_IFNAME, host, strlen(host) + 1);
    end(message);
    commit(netlink, "delete the pair");
}

/* What a runtime asks for by its environment. */
static int plugin(const char *verb) {
    char host[IFNAMSIZ], words[1024], *word[8] = {getenv("CNI_NETNS"), host};
    const char *id = getenv("CNI_CONTAINERID"), *arguments = getenv("CNI_ARGS");
    int count = 2;
    if (!id || strlen(id) < 8) return 2;
    snprintf(host, sizeof host, "floor%s", id + strlen(id) - 8);
    if (!strcmp(verb, "DEL")) return del(host), 0;
    snprintf(words, sizeof words, "%s", arguments ? arguments : "");
    for (char *one = strtok(words, ";"); one && count < 6; one = strtok(NULL, ";")) {
        if (strncmp(one, "V4=", 3) && strncmp(one, "V6=", 3)) continue;
        word[count++] = one[1] == '4' ? "v4" : "v6";
        word[count++] = one + 3;
    }
    add(count, word);
    puts("{\"cniVersion\":\"1.0.0\"}");
    return 0;
}

int main(int argc, char **argv) {
    if (getenv("CNI_COMMAND")) return plugin(getenv("CNI_COMMAND"));
    if (argc >= 6 && !strcmp(argv[1], "add")) {
        add(argc - 2, argv + 2);
    } else if (argc == 3 && !strcmp(argv[1], "del")) {
        del(argv[2]);
    } else {
        fprintf(stderr, "usage: floor add NETNS HOST_IF v4|v6 ADDRESS [v4|v6 ADDRESS] | floor del HOST_IF\n");
        return 2;
    }
    return 0;
}
