/* What tests of the collector share: objects whose addresses it does not see, and a look whether
 * they are still there. */
#ifndef TEST_UNIT_GC_HEAP_H
#define TEST_UNIT_GC_HEAP_H

#include "check.h"
#include "mem/mem.h"
#include <stdlib.h>

__attribute__((constructor)) static void collect_anyway(void)
{
        const char *more = getenv("WEIR_DEBUG");
        char        debug[100];

        snprintf(debug, sizeof debug, "gcforeign=1%s%s", more ? "," : "", more ? more : "");
        setenv("WEIR_DEBUG", debug, 1);
        setenv("WEIR_GC", "off", 1);            /* only when a test says so */
}

/* Where malloc is another's, only tests that keep nothing there can be run. */
static WEIR_UNUSED bool foreign(void)
{
        void *p = calloc(1, 1);
        bool  own = weir__mem_own(p);

        free(p);
        return !own;
}

/* Tables of these sanitizers hold copies of what the program holds, so not all that is dead
 * goes. */
enum { COPIES = WEIR_ASAN || WEIR_TSAN };

static WEIR_UNUSED void need_death(void)
{
        if (COPIES)
                test_skip("the sanitizer may keep what is dead");
}

typedef struct node {
        struct node *left, *right;
        uint64_t     key;
} node;
WEIR_TYPE(node, left, right);

/* An address that nobody takes for a pointer. */
typedef uintptr_t hidden;

static WEIR_UNUSED noinline hidden hide(const void *p)
{
        return ~(uintptr_t)p;
}

static WEIR_UNUSED noinline void *show(hidden h)
{
        return (void *)~h;
}

static WEIR_UNUSED noinline uint64_t key_of(hidden h)
{
        return *(uint64_t *)(~h + offsetof(node, key));
}

static WEIR_UNUSED noinline bool alive(hidden h)
{
        struct mem_object o;

        return weir__mem_find(show(h), &o) && o.kind != MEM_MANUAL && o.base == show(h);
}

/* Leaves nothing of what was on the stack and in registers above. */
static WEIR_UNUSED noinline void forget(void)
{
        volatile char waste[4096];

        for (size_t i = 0; i < sizeof waste; i++)
                waste[i] = 0;
        __asm__ volatile("xor %%ebx, %%ebx\n\txor %%r12d, %%r12d\n\txor %%r13d, %%r13d\n\t"
                         "xor %%r14d, %%r14d\n\txor %%r15d, %%r15d"
                         : : : "rbx", "r12", "r13", "r14", "r15");
}

static WEIR_UNUSED noinline void collect(void)
{
        forget();
        weir_gc_run();
}

static WEIR_UNUSED noinline hidden make_node(uint64_t key)
{
        node *n = weir_new(node);

        n->key = key;
        return hide(n);
}

/* Hands a fresh object to `keep`, which puts it somewhere; then it is alive until `drop`. A few are
 * tried, because a stale word may keep one alive that is no longer referred to. */
#define STAYS_AND_GOES(put, drop) \
        do { \
                int gone_ = 0; \
                for (int i_ = 0; i_ < 5; i_++) { \
                        hidden h = make_node(4711); \
                        { put; } \
                        collect(); \
                        ck_assert_msg(alive(h), "was collected"); \
                        ck_assert_uint_eq(key_of(h), 4711); \
                        { drop; } \
                        collect(); \
                        gone_ += !alive(h); \
                } \
                ck_assert_msg(gone_ >= 3 || COPIES, "%d of 5 were collected", gone_); \
        } while (0)

#endif
