/* Put before the C library of a daemon under test: while the file REFUSE_WHILE is
 * there, messages that add set elements with the address 10.43.77.77 name a set that
 * is not there, so that the kernel itself refuses them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NEW_ELEMENTS = 10 << 8 | 12, SET = 2, GENERIC = 4 };

static void bend(char *bytes, size_t length) {
    static const char address[] = {10, 43, 77, 77};
    const char *file = getenv("REFUSE_WHILE");
    if (!file || access(file, F_OK))
        return;
    for (size_t at = 0; at + NLMSG_HDRLEN <= length;) {
        struct nlmsghdr *head = (struct nlmsghdr *)(bytes + at);
        if (head->nlmsg_len < NLMSG_HDRLEN || at + head->nlmsg_len > length)
            return;
        size_t end = at + head->nlmsg_len;
        if (head->nlmsg_type == NEW_ELEMENTS && memmem(bytes + at, head->nlmsg_len, address, sizeof address))
            for (size_t a = at + NLMSG_HDRLEN + GENERIC; a + NLA_HDRLEN < end;) {
                struct nlattr *attr = (struct nlattr *)(bytes + a);
                if ((attr->nla_type & NLA_TYPE_MASK) == SET)
                    bytes[a + NLA_HDRLEN] = '?';
                a += NLA_ALIGN(attr->nla_len < NLA_HDRLEN ? NLA_HDRLEN : attr->nla_len);
            }
        at += NLMSG_ALIGN(head->nlmsg_len);
    }
}

static int is_netlink(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_NETLINK;
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    if (!is_netlink(fd))
        return real(fd, bytes, length, flags, to, size);
    char *bent = malloc(length);
    memcpy(bent, bytes, length);
    bend(bent, length);
    ssize_t sent = real(fd, bent, length, flags, to, size);
    free(bent);
    return sent;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    return sendto(fd, bytes, length, flags, NULL, 0);
}
