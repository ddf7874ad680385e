/* The policies by which marking may pause: what the trace tells of each, and that nothing else
 * changes. */
/* run: WEIR_DEBUG=gcforeign=1 WEIR_GC=off */
/* timeout: 240 */
#include "unit/gc/again.h"
#include "base/debug.h"
#include "gc/gc.h"
#include "mem/mem.h"
#include <string.h>

enum { NODES = 1 << 20, BIG = 1 << 20 };

typedef struct node {
        struct node *left, *right;
        uint64_t     key;
} node;
WEIR_TYPE(node, left, right);

static node *tree(uint64_t first, uint64_t n)
{
        node *t;

        if (!n)
                return NULL;
        t = weir_new(node);
        t->key = first + n / 2;
        weir_set(t->left, tree(first, n / 2));
        weir_set(t->right, tree(first + n / 2 + 1, n - n / 2 - 1));
        return t;
}

static uint64_t look(const node *t, uint64_t next)
{
        if (!t)
                return next;
        next = look(t->left, next);
        must(t->key == next);
        return look(t->right, next + 1);
}

weir_task(grows, my, { node **root; weir_wg *wg; })
{
        *my->root = tree(0, NODES);
        weir_wg_done(my->wg);
}

static node  *root;
static node **big;                      /* a large object, for the middle of which one may pause */

static void make_heap(void)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(grows, .root = &root, .wg = &wg);
        weir_wg_wait(&wg);
        big = weir_new_bytes(BIG * sizeof *big);
        for (int i = 0; i < BIG; i += 1000)
                big[i] = root;
}

static void need_pauses(void)
{
        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("cycles run in one stop, where nobody pauses");
}

/* What is run again under each policy. */
WEIR_TEST_WITH(a_large_heap_is_collected, .procs = 2, .timeout = 60)
{
        make_heap();
        for (int i = 0; i < 5; i++)
                weir_gc_run();
        ck_assert_uint_eq(look(root, 0), NODES);
}

struct slices {
        int      n, long_ones;          /* those longer than asked about */
        int64_t  longest;               /* us */
        uint64_t least, most;           /* objects */
        int      pauses;
};

static void slices_of(struct slices *ret, const char *debug, int64_t limit)
{
        static struct again run;
        long long           us, pause;
        unsigned long long  objects;

        run_again(&run, "a_large_heap_is_collected", debug);
        ck_assert_msg(WIFEXITED(run.status) && !WEXITSTATUS(run.status), "%s", run.text);
        *ret = (struct slices){ .least = UINT64_MAX };
        for (const char *s = run.text; (s = strstr(s, "gc slice: ")); s++) {
                if (sscanf(s, "gc slice: %lld us, %llu objects, pause %lld us", &us, &objects,
                           &pause) != 3)
                        continue;
                ret->n++;
                ret->long_ones += us > limit;
                ret->longest = MAX(ret->longest, (int64_t)us);
                ret->least = MIN(ret->least, (uint64_t)objects);
                ret->most = MAX(ret->most, (uint64_t)objects);
                ret->pauses += pause > 0;
        }
        printf("%s: %d slices, %lld us at most, %d longer than %lld, %llu to %llu objects\n", debug,
               ret->n, (long long)ret->longest, ret->long_ones, (long long)limit,
               (unsigned long long)ret->least, (unsigned long long)ret->most);
}

/* The share of slices that may be longer: what a core had of others' interrupts counts as its. */
static void mostly_at_most(const struct slices *s)
{
        ck_assert_int_ge(s->n, 5);
        ck_assert_int_le(s->long_ones, 1 + s->n / 100);
        ck_assert_int_ge(s->pauses, 1);
}

PLAIN_TEST_WITH(slices_of_five_milliseconds_are_no_longer, .timeout = 60)
{
        struct slices s;

        need_pauses();
        slices_of(&s, "gcforeign=1,gcslice=1,gctrace=2", 5500);
        mostly_at_most(&s);
}

PLAIN_TEST_WITH(slices_of_ten_thousand_objects_have_them, .timeout = 60)
{
        struct slices s;

        need_pauses();
        slices_of(&s, "gcforeign=1,gcslice=2,gctrace=2", INT64_MAX);
        ck_assert_int_ge(s.n, NODES / 10000);
        ck_assert_uint_ge(s.least, 10000);
        ck_assert_uint_le(s.most, 10000 + 1024);        /* a span is scanned whole */
        ck_assert_int_eq(s.pauses, s.n);
}

PLAIN_TEST_WITH(adaptive_slices_are_no_longer_than_eight_hundred_microseconds, .timeout = 60)
{
        struct slices s;

        need_pauses();
        slices_of(&s, "gcforeign=1,gcslice=3,gctrace=2", 880);
        mostly_at_most(&s);
}

/* A pause after each span: what is marked is the same, and nothing is lost. */
WEIR_TEST_WITH(a_hundred_thousand_pauses_change_nothing, .procs = 2, .timeout = 120)
{
        static weir_gc_cycle c[1];
        uint64_t             objects;

        need_pauses();
        make_heap();
        weir_gc_run();
        ck_assert_uint_eq(weir_gc_history(c, 1), 1);
        objects = c[0].objects;
        weir__debug.gcslice = -1;
        for (int i = 0; i < 1000 && load_relaxed(&weir__mark_slices) < 100000; i++) {
                weir_gc_run();
                ck_assert_uint_eq(weir_gc_history(c, 1), 1);
                ck_assert_uint_ge(c[0].objects + 50, objects);  /* but for what some stack held */
                ck_assert_uint_le(c[0].objects, objects + 50);
        }
        ck_assert_uint_ge(load_relaxed(&weir__mark_slices), 100000);
        ck_assert_uint_eq(look(root, 0), NODES);
}
