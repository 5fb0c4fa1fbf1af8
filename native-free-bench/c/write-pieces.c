/*
 * The least that a fan-out can cost: writes the same bytes to every replica, in pieces of 64 KiB.
 *
 *   write-pieces <replicas> <bytes> <file>
 *
 * Listens on a free port of 127.0.0.1 and prints it. Answers the handshake of each replica, without
 * looking at it, with an empty dump. When all have asked for the stream it sends `bytes` bytes to
 * each, the bytes of `file` again and again, and prints the seconds of processor time that this
 * took. Ends when its input ends.
 *
 * Writes block: a replica that does not read holds up the others.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_BYTES (64 * 1024)
#define REQUEST_BYTES_MAX 4096

static void check(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "write-pieces: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void write_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    check(written > 0, "write");
    bytes += written;
    count -= (size_t)written;
  }
}

/* Reads until `word` has come. */
static void read_until(int fd, const char *word) {
  char text[REQUEST_BYTES_MAX + 1];
  size_t length = 0;
  for (;;) {
    ssize_t got = read(fd, text + length, REQUEST_BYTES_MAX - length);
    check(got > 0, "read");
    length += (size_t)got;
    text[length] = 0;
    if (strstr(text, word) != NULL) return;
  }
}

static double seconds_used(void) {
  struct rusage usage;
  check(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  static const char replies[] = "+PONG\r\n+OK\r\n+OK\r\n";
  static const char dump[] = "+FULLRESYNC 0123456789012345678901234567890123456789 0\r\n$1\r\n-";
  check(argc == 4, "three arguments");
  int replicas = atoi(argv[1]);
  long long bytes = atoll(argv[2]);
  check(replicas > 0 && bytes > 0, "arguments");

  /* Behind the end the beginning follows, so that a piece is never cut. */
  FILE *file = fopen(argv[3], "rb");
  check(file != NULL, argv[3]);
  check(fseek(file, 0, SEEK_END) == 0, "fseek");
  long file_bytes = ftell(file);
  check(file_bytes >= PIECE_BYTES, "a file that is long enough");
  rewind(file);
  char *content = malloc((size_t)file_bytes + PIECE_BYTES);
  check(content != NULL, "malloc");
  check(fread(content, 1, (size_t)file_bytes, file) == (size_t)file_bytes, "fread");
  memcpy(content + file_bytes, content, PIECE_BYTES);

  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t address_bytes = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
  check(listen(listener, replicas) == 0, "listen");
  check(getsockname(listener, (struct sockaddr *)&address, &address_bytes) == 0, "getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  int *peers = calloc((size_t)replicas, sizeof *peers);
  check(peers != NULL, "calloc");
  for (int i = 0; i < replicas; i++) {
    peers[i] = accept(listener, NULL, NULL);
    check(peers[i] >= 0, "accept");
    write_all(peers[i], replies, sizeof replies - 1);
  }
  for (int i = 0; i < replicas; i++) read_until(peers[i], "PSYNC");
  for (int i = 0; i < replicas; i++) write_all(peers[i], dump, sizeof dump - 1);

  double before = seconds_used();
  long position = 0;
  for (long long left = bytes; left > 0;) {
    size_t count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    for (int i = 0; i < replicas; i++) write_all(peers[i], content + position, count);
    position = (position + (long)count) % file_bytes;
    left -= (long long)count;
  }
  printf("%.6f\n", seconds_used() - before);
  fflush(stdout);
  while (getchar() != EOF) continue;
  return 0;
}
