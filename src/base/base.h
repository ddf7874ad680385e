/* Words that every file of the runtime uses. Includes nothing of weir but the public error
 * codes. */
#ifndef WEIR_BASE_BASE_H
#define WEIR_BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weir/base.h>
#include <weir/error.h>
#include "base/atomic.h"

/* Sanitizers. The runtime announces its stacks to them; nothing else depends on these. */
#if defined(__SANITIZE_ADDRESS__)
#define WEIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WEIR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_TSAN 1
#endif
#endif
/* A model test (test/model) has plain accesses reported by the same means, and no fibers. */
#ifdef WEIR_MODEL
#undef WEIR_TSAN
#endif
#ifndef WEIR_ASAN
#define WEIR_ASAN 0
#endif
#ifndef WEIR_TSAN
#define WEIR_TSAN 0
#endif

/* How much the runtime checks itself: 0 release, 1 cheap assertions and lock ranks, 2 adds checks
 * that cost a little on each operation, 3 walks whole structures. Set by the build presets. */
#ifndef WEIR_CHECK
#define WEIR_CHECK 0
#endif

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
/* Each argument is evaluated once: one read the clock, and a wait of 24 ns became one for ever. */
#define MIN(a, b) \
        __extension__({ __typeof__((a) + 0) a_ = (a); __typeof__((b) + 0) b_ = (b); \
                        a_ < b_ ? a_ : b_; })
#define MAX(a, b) \
        __extension__({ __typeof__((a) + 0) c_ = (a); __typeof__((b) + 0) d_ = (b); \
                        c_ > d_ ? c_ : d_; })
#define ALIGN_UP(x, to)   (((x) + ((to) - 1)) & ~((__typeof__(x))(to) - 1))
#define ALIGN_DOWN(x, to) ((x) & ~((__typeof__(x))(to) - 1))
#define CONTAINER_OF(ptr, T, field) ((T *)(void *)((char *)(ptr) - offsetof(T, field)))
#define CACHE_LINE  64
/* After the last call of a public function that parks: without it the call may become a jump, and a
 * dump would not show what the goroutine waits in. Not for the library as a whole: each frame
 * that returns after a switch is a return mispredicted (bench yield, 20 %). */
#define keep_frame() __asm__ volatile("")
#define noinline    __attribute__((__noinline__))
#define slowpath    __attribute__((__cold__, __noinline__))

/* Reads memory of others as it is: stacks, the program's data. */
#define no_sanitize \
        __attribute__((__no_sanitize__("address"), __no_sanitize__("thread")))

/* ---- throw.c: the runtime's own broken invariants ---- */

/* Ends the process because weir itself is broken: message, every goroutine, abort.
 * Cannot be caught. From: anywhere, signal handlers included. */
_Noreturn void weir__throw(const char *fmt, ...) __attribute__((format(printf, 1, 2), __cold__));

/* Called by weir__throw after the message, to print what the upper layers know. Filled by sched. */
extern void (*weir__throw_hook)(void);
extern int  weir__thrown;               /* atomic: 1 once somebody speaks */

/* An invariant of the runtime, checked from debug level 1 on. */
#if WEIR_CHECK >= 1
#define check(cond) (likely(cond) ? (void)0 : weir__throw("%s:%d: %s", __FILE__, __LINE__, #cond))
#else
#define check(cond) ((void)sizeof(cond))
#endif

/* ---- fmt.c: text without malloc, stdio or locks ---- */

/* Text under way to a descriptor, a stream or a string. Zero value plus a target is ready to
 * use. */
struct out {
        int    fd;              /* written with write(2) when the others are NULL */
        FILE  *file;
        char  *str;             /* of room bytes; what does not fit is dropped */
        size_t room;
        size_t len;
        char   buf[512];
};

/* Appends text as printf would, knowing %s %d %i %u %x %p %c %% with l, ll, z and a width.
 * Safe in signal handlers when the target is a descriptor. */
void weir__out_print(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void weir__out_vprint(struct out *o, const char *fmt, va_list ap);
void weir__out_flush(struct out *o);

/* The same into a string of size bytes, always ended by a zero. Returns the length written. */
size_t weir__fmt(char *buf, size_t size, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

/* ---- random numbers ---- */

/* xorshift64*, after Vigna: one word of state, never zero. Not for secrets. */
static inline uint32_t weir__rand(uint64_t *state)
{
        uint64_t x = *state;

        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        *state = x;
        return (uint32_t)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

/* A number in [0, n), by multiplication instead of division (Lemire). */
static inline uint32_t weir__rand_below(uint64_t *state, uint32_t n)
{
        return (uint32_t)(((uint64_t)weir__rand(state) * n) >> 32);
}

#endif
