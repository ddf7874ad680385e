/* Unit tests on Check, one process per test.
 *
 *         #include "check.h"
 *
 *         WEIR_TEST(close_wakes_every_receiver)
 *         {
 *                 ...
 *                 ck_assert(!weir_recv(c, &v));
 *         }
 *
 * is a whole file: the test registers itself, main is in check.c, and a failure reads
 * "chan/select: close_wakes_every_receiver". The body runs on the root goroutine of weir_run.
 *
 * Shortly before the time is up the process gets SIGQUIT, so that the runtime prints every
 * goroutine: a hang explains itself. To look closer, run one test alone and in one process:
 *
 *         CK_FORK=no CK_RUN_CASE=close_wakes_every_receiver gdb build/bin/unit-chan-select */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <weir.h>

#include <check.h>

struct test_options {
        unsigned procs;         /* for weir_run */
        size_t   stack_size;    /* for weir_run */
        unsigned timeout;       /* seconds; 0: 10. Sanitizers get four times as much */
};

struct test {
        const char         *name;
        void              (*body)(void);
        bool                plain;      /* not on a goroutine */
        int                 line;
        struct test_options options;
        struct test        *next;
};

void test_register(struct test *t);

/* Ends the running test as skipped; says why. */
_Noreturn void test_skip(const char *because);

/* A test that runs on the root goroutine. */
#define WEIR_TEST(name)           TEST_(name, false, { 0 })

/* The same with test_options: WEIR_TEST_WITH(steals_half, .procs = 4, .timeout = 30) */
#define WEIR_TEST_WITH(name, ...) TEST_(name, false, { __VA_ARGS__ })

/* A test that runs without weir_run; it may call that itself. */
#define PLAIN_TEST(name)          TEST_(name, true, { 0 })

/* The same with test_options. */
#define PLAIN_TEST_WITH(name, ...) TEST_(name, true, { __VA_ARGS__ })

/* ck_assert for what is checked millions of times: it says nothing to Check while it holds. */
#define must(cond) \
        do { \
                if (!(cond)) \
                        ck_abort_msg("does not hold: %s", #cond); \
        } while (0)

#define TEST_(name_, plain_, ...)                                               \
        static void name_(void);                                                \
        __attribute__((constructor)) static void name_##_register(void)         \
        {                                                                       \
                static struct test t = {                                        \
                        .name    = #name_,                                      \
                        .body    = name_,                                       \
                        .plain   = plain_,                                      \
                        .line    = __LINE__,                                    \
                        .options = __VA_ARGS__,                                 \
                };                                                              \
                test_register(&t);                                              \
        }                                                                       \
        static void name_(void)

#endif
