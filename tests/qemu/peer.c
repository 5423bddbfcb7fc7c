/* Servers and clients inside the machines of the tier qemu: one static program.
 *
 *   peer serve NAME PROTO PORT              answers every line with `NAME from ADDRESS`
 *   peer ask PROTO ADDRESS PORT COUNT       so many new connections, the answer of each
 *   peer storm PROTO ADDRESS PORT FILE      new connections until FILE is there
 *   peer hold PROTO ADDRESS PORT FILE       one connection, asked until FILE is there
 *   peer keep PROTO ADDRESS PORT FILE       one connection, asked at once and when FILE is there
 *   peer ipvs ADDRESS PORT BACKEND          a virtual service of IPVS with one TCP backend
 *
 * PROTO is tcp, udp or sctp. Nothing waits longer than PATIENCE_MS. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip_vs.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* An emulated machine is slow, and a lost first packet is sent again after a second. */
#define PATIENCE_MS 5000
/* Between two questions of one client: an emulated machine has to do other things, too. */
#define PAUSE_NS (10 * 1000 * 1000)

static void die(const char *what) {
  fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
  exit(1);
}

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int open_socket(int family, const char *proto) {
  int udp = !strcmp(proto, "udp"), sctp = !strcmp(proto, "sctp");
  return socket(family, udp ? SOCK_DGRAM : SOCK_STREAM, sctp ? IPPROTO_SCTP : 0);
}

static int family_of(const char *address) { return strchr(address, ':') ? AF_INET6 : AF_INET; }

static socklen_t place(const char *address, const char *port, struct sockaddr_storage *at) {
  memset(at, 0, sizeof *at);
  at->ss_family = family_of(address);
  if (at->ss_family == AF_INET6) {
    struct sockaddr_in6 *six = (void *)at;
    six->sin6_port = htons(atoi(port));
    if (inet_pton(AF_INET6, address, &six->sin6_addr) != 1) die(address);
    return sizeof *six;
  }
  struct sockaddr_in *four = (void *)at;
  four->sin_port = htons(atoi(port));
  if (inet_pton(AF_INET, address, &four->sin_addr) != 1) die(address);
  return sizeof *four;
}

/* A socket of one family. SCTP tells its peer every address of the socket; the peer would
 * try those beside the Service's address, where the port is another, and be refused. */
static int listening(const char *proto, const char *port, int family) {
  struct sockaddr_storage at;
  int s = open_socket(family, proto), on = 1;
  const char *any = family == AF_INET ? "0.0.0.0" : "::";
  /* A machine may have no IPv6. */
  if (s < 0 && family == AF_INET6) exit(0);
  if (s < 0) die("socket");
  setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t len = place(any, port, &at);
  if (bind(s, (void *)&at, len)) die("bind");
  if (strcmp(proto, "udp") && listen(s, 1024)) die("listen");
  return s;
}

static int answer(char *out, size_t size, const char *name, struct sockaddr_storage *from, socklen_t len) {
  char text[NI_MAXHOST] = "?";
  getnameinfo((void *)from, len, text, sizeof text, NULL, 0, NI_NUMERICHOST);
  return snprintf(out, size, "%s from %s\n", name, text);
}

static void serve(const char *name, const char *proto, const char *port) {
  int s = listening(proto, port, fork() ? AF_INET : AF_INET6), udp = !strcmp(proto, "udp");
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    char in[256], out[NI_MAXHOST + 64];
    if (udp) {
      if (recvfrom(s, in, sizeof in, 0, (void *)&from, &len) < 0) continue;
      sendto(s, out, answer(out, sizeof out, name, &from, len), 0, (void *)&from, len);
      continue;
    }
    int c = accept(s, (void *)&from, &len);
    if (c < 0) continue;
    if (fork() == 0) {
      close(s);
      int size = answer(out, sizeof out, name, &from, len);
      while (recv(c, in, sizeof in, 0) > 0) {
        if (send(c, out, size, MSG_NOSIGNAL) < 0) break;
      }
      _exit(0);
    }
    close(c);
  }
}

/* A connection, or -1 and errno. */
static int reach(const char *proto, const char *address, const char *port) {
  struct sockaddr_storage at;
  socklen_t len = place(address, port, &at);
  struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
  int s = open_socket(at.ss_family, proto);
  if (s < 0) return -1;
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(s, (void *)&at, len)) {
    int why = errno;
    close(s);
    errno = why;
    return -1;
  }
  return s;
}

/* Asks a connection; the answer without its end of line, or NULL and errno. */
static char *ask_of(int s, char *in, size_t size) {
  if (send(s, "?\n", 2, MSG_NOSIGNAL) != 2) return NULL;
  ssize_t got = recv(s, in, size - 1, 0);
  if (got == 0) errno = ECONNRESET;
  if (got <= 0) return NULL;
  in[got] = 0;
  in[strcspn(in, "\n")] = 0;
  return in;
}

static char *ask_once(const char *proto, const char *address, const char *port, char *in, size_t size) {
  int s = reach(proto, address, port);
  if (s < 0) return NULL;
  char *said = ask_of(s, in, size);
  int why = errno;
  close(s);
  errno = why;
  return said;
}

/* Whoever waits for a client to be at work reads this. */
static void begun_to_work(void) {
  puts("begun");
  fflush(stdout);
}

static void pause_briefly(void) {
  struct timespec pause = {.tv_nsec = PAUSE_NS};
  nanosleep(&pause, NULL);
}

static void ask(const char *proto, const char *address, const char *port, int count) {
  for (char in[256]; count > 0; count--) {
    char *said = ask_once(proto, address, port, in, sizeof in);
    if (!said) die("no answer");
    puts(said);
  }
}

static void storm(const char *proto, const char *address, const char *port, const char *file) {
  long asked = 0, failed = 0, longest = 0;
  char in[256];
  while (access(file, F_OK)) {
    long begun = now_ms();
    if (!ask_once(proto, address, port, in, sizeof in)) {
      fprintf(stderr, "peer: question %ld: %s\n", asked, strerror(errno));
      failed++;
    }
    if (asked++ == 0) begun_to_work();
    if (now_ms() - begun > longest) longest = now_ms() - begun;
    pause_briefly();
  }
  printf("asked %ld failed %ld longest %ld\n", asked, failed, longest);
}

static void hold(const char *proto, const char *address, const char *port, const char *file) {
  long asked = 0, longest = 0;
  char in[256], first[256] = "";
  int s = reach(proto, address, port);
  if (s < 0) die("connect");
  for (; access(file, F_OK); asked++) {
    long begun = now_ms();
    if (!ask_of(s, in, sizeof in)) die("the connection broke");
    if (asked == 0) {
      strcpy(first, in);
      begun_to_work();
    }
    if (strcmp(first, in)) {
      fprintf(stderr, "peer: answered by %s after %s\n", in, first);
      exit(1);
    }
    if (now_ms() - begun > longest) longest = now_ms() - begun;
    pause_briefly();
  }
  printf("asked %ld failed 0 longest %ld\n", asked, longest);
}

static void keep(const char *proto, const char *address, const char *port, const char *file) {
  char in[256], first[256];
  int s = reach(proto, address, port);
  if (s < 0) die("connect");
  if (!ask_of(s, first, sizeof first)) die("no answer");
  begun_to_work();
  while (access(file, F_OK)) pause_briefly();
  if (!ask_of(s, in, sizeof in)) die("the connection broke");
  if (strcmp(first, in)) {
    fprintf(stderr, "peer: answered by %s after %s\n", in, first);
    exit(1);
  }
  puts("asked 2 failed 0");
}

static void ipvs(const char *address, const char *port, const char *backend) {
  struct {
    struct ip_vs_service_user service;
    struct ip_vs_dest_user dest;
  } wish = {.service = {.protocol = IPPROTO_TCP, .port = htons(atoi(port)), .sched_name = "rr", .netmask = ~0},
            .dest = {.port = htons(atoi(port)), .conn_flags = IP_VS_CONN_F_MASQ, .weight = 1}};
  if (inet_pton(AF_INET, address, &wish.service.addr) != 1) die(address);
  if (inet_pton(AF_INET, backend, &wish.dest.addr) != 1) die(backend);
  int s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (s < 0) die("raw socket");
  if (setsockopt(s, IPPROTO_IP, IP_VS_SO_SET_ADD, &wish, sizeof wish.service)) die("virtual service");
  if (setsockopt(s, IPPROTO_IP, IP_VS_SO_SET_ADDDEST, &wish, sizeof wish)) die("backend");
}

int main(int words, char **word) {
  const char *verb = words > 1 ? word[1] : "";
  if (words == 5 && !strcmp(verb, "serve")) serve(word[2], word[3], word[4]);
  else if (words == 6 && !strcmp(verb, "ask")) ask(word[2], word[3], word[4], atoi(word[5]));
  else if (words == 6 && !strcmp(verb, "storm")) storm(word[2], word[3], word[4], word[5]);
  else if (words == 6 && !strcmp(verb, "hold")) hold(word[2], word[3], word[4], word[5]);
  else if (words == 6 && !strcmp(verb, "keep")) keep(word[2], word[3], word[4], word[5]);
  else if (words == 5 && !strcmp(verb, "ipvs")) ipvs(word[2], word[3], word[4]);
  else {
    fprintf(stderr, "peer serve|ask|storm|hold|keep|ipvs: see the head of tests/qemu/peer.c\n");
    return 64;
  }
  return 0;
}
