/* What the stress programs share: a seed that is printed, a time limit, and a way to fail.
 *
 * A stress program does random things in rounds for some seconds and checks after each round that a
 * sum, a count or an order still holds. CTest runs each on 1, 2 and 4 processors. By hand:
 *
 *         WEIR_PROCS=4 build/bin/stress-steal SEED        the same choices again (not the same
 *         order) WEIR_STRESS_MS=60000 build/bin/stress-steal     longer
 *
 * One that hangs gets SIGQUIT before CTest ends it, and so prints every goroutine. */
#ifndef TEST_STRESS_H
#define TEST_STRESS_H

#include <weir.h>

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STRESS_MS = 2000, STRESS_HANGS = 45 * WEIR_PATIENCE };

static uint64_t  stress_state;          /* only the root goroutine, by stress_rand(&stress_state) */
static weir_time stress_end;

/* An invariant: when it does not hold, says which, prints every goroutine, ends the program. */
#define must(cond) must_say(cond, " ")

/* The same with a message, as of printf. */
#define must_say(cond, ...)                                                             \
        do {                                                                            \
                if (!(cond))                                                            \
                        stress_fail(__FILE__, __LINE__, #cond, __VA_ARGS__);            \
        } while (0)

static WEIR_UNUSED _Noreturn WEIR_PRINTF(4, 5)
void stress_fail(const char *file, int line, const char *cond, const char *fmt, ...)
{
        va_list ap;

        fprintf(stderr, "%s:%d: not true: %s: ", file, line, cond);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputs("\n\n", stderr);
        weir_dump(stderr);
        _exit(1);
}

/* A random number, from a state that is the caller's own. splitmix64. */
static WEIR_UNUSED uint64_t stress_rand(uint64_t *state)
{
        uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
        return x ^ (x >> 31);
}

/* A random number in [0, n). */
static WEIR_UNUSED unsigned stress_below(uint64_t *state, unsigned n)
{
        return (unsigned)(stress_rand(state) % n);
}

static WEIR_UNUSED void stress_begin(int argc, char **argv)
{
        struct sigevent   event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGQUIT };
        struct itimerspec when = { .it_value.tv_sec = STRESS_HANGS };
        const char       *seed = argc > 1 ? argv[1] : getenv("WEIR_SEED");
        const char       *ms = getenv("WEIR_STRESS_MS");
        int64_t           length = ms ? atoll(ms) : STRESS_MS;
        timer_t           timer;

        stress_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)weir_now();
        printf("seed %llu\n", (unsigned long long)stress_state);
        fflush(stdout);
        when.it_value.tv_sec += length / 1000;
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
                timer_settime(timer, 0, &when, NULL);
        stress_end = weir_now() + length * WEIR_MILLISECOND;
}

/* Whether there is time for another round. */
static WEIR_UNUSED bool stress_more(void)
{
        return weir_now() < stress_end;
}

#endif
