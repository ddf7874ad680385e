/* trouble.h: a server in a process of its own, a well-behaved client beside the trouble, and the
 * proof that neither noticed.
 *
 * A test is: server_start, friend_start, cause trouble, friend_stop, server_stop. The last two fail
 * the test if the friend saw one error, if the server died, leaked a descriptor or was accused by a
 * sanitizer. Every test ends by itself: an alarm makes a hanging server print its goroutines. */
#ifndef TROUBLE_H
#define TROUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { SKIPPED = 77 };

/* What the web server serves: small.txt and big.bin of these sizes, filled by file_byte(). */
enum { SMALL_SIZE = 1000, BIG_SIZE = 8 << 20 };
unsigned char file_byte(size_t i);

/* Prints the message and what the server said, ends the server, exits with status 1. */
__attribute__((format(printf, 1, 2))) _Noreturn void die(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) _Noreturn void skip(const char *fmt, ...);

/* Starts argv with a limit of descriptors (0: as it is) and waits for the line that tells its port.
 * A web server is started as web_start(binary, patience in seconds as text, limit). */
void server_start(char *const argv[], rlim_t nofile);
void web_start(const char *binary, const char *patience, rlim_t nofile);
void echo_start(const char *binary);
void server_stop(void);

pid_t  server_pid(void);
int    server_descriptors(void);                        /* how many are open */
int    server_lowest_free(void);                        /* the number that it would open next */
void   server_settle(int connections);                  /* waits until no other is open */
size_t server_said(const char *text);                   /* how many lines on its stderr hold text */

int    dial(void);                                      /* a connected blocking socket */
void   send_all(int fd, const void *buf, size_t len);
bool   try_send_all(int fd, const void *buf, size_t len);       /* false: the server hung up */
void   reset(int fd);                                   /* closes with RST instead of FIN */
double now(void);                                       /* seconds */
void   nap(double seconds);

/* Sends a request for path and reads the whole answer; dies unless it is a 200 with these bytes.
 * read_answer is the second half, ask_echo the same for the echo server. They read ahead: who mixes
 * them with recv() does so where the stream has nothing more to give. */
void ask(int fd, const char *path, size_t size);
void read_answer(int fd, size_t size);
void ask_echo(int fd, size_t size);
void expect_end(int fd);                                /* dies if there is more */

/* A client that keeps one connection and, in turn, opens another, until it is stopped. */
void friend_start(bool echo, bool reconnects);
void friend_stop(void);

#endif
