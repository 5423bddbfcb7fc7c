/* The clients and servers of scripts/bench-dataplane: what Python is too slow for.
 *
 *   load serve PORT               TCP: one byte to whoever connects; UDP: answers
 *   load sink PORT                TCP: reads and forgets
 *   load connect ADDR PORT SECONDS  connections one after another: rate p50 p99 failed
 *   load ask ADDR PORT SECONDS      the same of a UDP datagram from a new socket
 *   load stream ADDR PORT SECONDS   bytes a second of one connection
 *
 * Connections end by a reset: what waits in TIME_WAIT would run out of ports. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX (4 * 1000 * 1000)

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in at(const char *address, const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, address, &a.sin_addr) != 1) die(address);
  return a;
}

static int bound(const char *port, int type) {
  struct sockaddr_in a = at("0.0.0.0", port);
  int s = socket(AF_INET, type, 0), on = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(s, (struct sockaddr *)&a, sizeof a)) die("bind");
  if (type == SOCK_STREAM && listen(s, 4096)) die("listen");
  return s;
}

static void reset(int s) {
  struct linger l = {.l_onoff = 1};
  setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  close(s);
}

static void serve(const char *port) {
  int tcp = bound(port, SOCK_STREAM), udp = bound(port, SOCK_DGRAM), poller = epoll_create1(0);
  int fds[] = {tcp, udp};
  for (int i = 0; i < 2; i++) {
    struct epoll_event want = {.events = EPOLLIN, .data.fd = fds[i]};
    epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &want);
  }
  for (;;) {
    struct epoll_event told[64];
    int n = epoll_wait(poller, told, 64, -1);
    for (int i = 0; i < n; i++) {
      int s = told[i].data.fd;
      char byte = 'x';
      if (s == tcp) {
        int c = accept4(tcp, NULL, NULL, SOCK_NONBLOCK);
        if (c < 0) continue;
        send(c, &byte, 1, MSG_NOSIGNAL);
        struct epoll_event want = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, c, &want);
      } else if (s == udp) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        if (recvfrom(udp, &byte, 1, 0, (struct sockaddr *)&from, &size) == 1)
          sendto(udp, &byte, 1, 0, (struct sockaddr *)&from, size);
      } else {
        close(s);
      }
    }
  }
}

static void sink(const char *port) {
  static char buffer[1 << 20];
  for (int s = bound(port, SOCK_STREAM);;) {
    int c = accept(s, NULL, NULL);
    while (read(c, buffer, sizeof buffer) > 0) {
    }
    close(c);
  }
}

static int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* One exchange; answers whether a byte came back, and when it was connected. */
static int exchange(struct sockaddr_in *to, int type, double *connected) {
  struct timeval wait = {.tv_sec = 1};
  int s = socket(AF_INET, type, 0), ok = 0;
  char byte = 'x';
  if (s < 0) die("socket");
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (!connect(s, (struct sockaddr *)to, sizeof *to)) {
    *connected = now();
    ok = (type == SOCK_STREAM || send(s, &byte, 1, 0) == 1) && recv(s, &byte, 1, 0) == 1;
    if (type == SOCK_DGRAM) *connected = now();
  }
  reset(s);
  return ok;
}

static void measure(char **words, int type) {
  struct sockaddr_in to = at(words[0], words[1]);
  float *took = malloc(SAMPLES_MAX * sizeof *took);
  size_t done = 0, failed = 0;
  double begun = now(), end = begun + atof(words[2]);
  while (now() < end && done < SAMPLES_MAX) {
    double start = now(), connected = start;
    if (exchange(&to, type, &connected))
      took[done++] = (float)(connected - start);
    else if (failed++ < 3)
      fprintf(stderr, "exchange %zu: %s\n", done + failed, strerror(errno));
  }
  double seconds = now() - begun;
  qsort(took, done, sizeof *took, by_size);
  double p50 = done ? took[done / 2] : 0, p99 = done ? took[done - 1 - done / 100] : 0;
  printf("%.1f %.7f %.7f %zu\n", done / seconds, p50, p99, failed);
}

static void stream(char **words) {
  static char buffer[1 << 18];
  struct sockaddr_in to = at(words[0], words[1]);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(s, (struct sockaddr *)&to, sizeof to)) die("connect");
  double begun = now(), end = begun + atof(words[2]), bytes = 0;
  while (now() < end) {
    ssize_t sent = send(s, buffer, sizeof buffer, MSG_NOSIGNAL);
    if (sent < 0) die("send");
    bytes += sent;
  }
  printf("%.0f\n", bytes / (now() - begun));
  reset(s);
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) serve(argv[2]);
  else if (argc == 3 && !strcmp(argv[1], "sink")) sink(argv[2]);
  else if (argc == 5 && !strcmp(argv[1], "connect")) measure(argv + 2, SOCK_STREAM);
  else if (argc == 5 && !strcmp(argv[1], "ask")) measure(argv + 2, SOCK_DGRAM);
  else if (argc == 5 && !strcmp(argv[1], "stream")) stream(argv + 2);
  else {
    fprintf(stderr, "load serve|sink PORT, load connect|ask|stream ADDR PORT SECONDS\n");
    return 2;
  }
  return 0;
}
