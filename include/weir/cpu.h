/* weir/cpu.h: what the processor can do, and how far apart things must be to not disturb each
 * other.
 *
 * weir looks at the processor once, before main, and chooses by that which code it uses for bytes
 * and maps. `weir cpu` prints the choice. WEIR_DEBUG=cpu.NAME=off takes one feature away (and what
 * needs it), cpu.all=off takes all, so that the other code can be tried and compared.
 *
 * What one core writes and another uses should not share a cache line with what others use: each
 * write takes the whole line away from them. WEIR_CACHE_LINE is how far apart is enough, and
 * weir_padded(T) makes a type of a whole number of lines.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         static weir_padded(long) hits[2];      // one for each of two goroutines
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 hits[0].value++;
 *                 hits[1].value++;
 *                 return (char *)&hits[1] - (char *)&hits[0] >= WEIR_CACHE_LINE ? EXIT_SUCCESS
 *                                                                              : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_CPU_H
#define WEIR_CPU_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

/* Bytes that move between cores as one. A power of two. */
#define WEIR_CACHE_LINE 64

/* A type that holds a T, named value, in cache lines of its own. WEIR_CACHE_PAIR instead of
 * WEIR_CACHE_LINE, in weir_padded_to, also keeps the line that the processor fetches along. */
#define WEIR_CACHE_PAIR 128
#define weir_padded(T)           weir_padded_to(T, WEIR_CACHE_LINE)
#define weir_padded_to(T, bytes) struct { __attribute__((aligned(bytes))) __typeof__(T) value; }

/* Whether weir uses a feature of the processor: "avx2", "avx512", ... (weir cpu lists the
 * names). False also for names that nobody knows and for what WEIR_DEBUG took away.
 *
 * Parks: no.  From: any thread, signal handler.  Fails: never.  Panics: never. */
WEIR_API bool weir_cpu_has(const char *feature);

/* Writes to out which features there are and which code weir chose by them; what `weir cpu` prints.
 *
 * Blocks: while out does.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_cpu_write(FILE *out);

WEIR_DECLS_END

#endif
