/* No memory for the collector's own tables, at every place where some is asked for: the n-th
 * mapping is refused, or all from the n-th on, n sweeping upward. Each n is a process of its own,
 * which ends well, with all it holds whole, or says that there is no memory. */
/* run: WEIR_GC=off */
/* timeout: 240 */
#include "unit/gc/again.h"
#include "base/base.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
        NODES = 2000,
        GOROUTINES = 4,
        CYCLES = 6,
        FIRST = 1,
        LAST = 60,
};

typedef struct link {
        struct link *next;
        uint64_t     key;
        void        *plain;
} link_;
WEIR_TYPE(link_, next, plain);

static uint32_t finalized;

static void finalizer(void *obj)
{
        (void)obj;
        __atomic_fetch_add(&finalized, 1, __ATOMIC_SEQ_CST);
}

weir_task(works, my, { uint64_t seed; weir_wg *wg; })
{
        for (int round = 0; round < CYCLES; round++) {
                link_  *list = NULL;
                void  **block = calloc(100, sizeof *block);

                for (uint64_t i = 0; i < NODES; i++) {
                        link_ *n = weir_new(link_);

                        n->key = my->seed + i;
                        weir_set(n->next, list);
                        weir_set(n->plain, weir_new_bytes(40));
                        *(uint64_t *)n->plain = ~n->key;
                        list = n;
                        if (block)
                                block[i % 100] = list;
                        if (i % 200 == 0)
                                weir_yield();
                }
                weir_gc_finalize(weir_new(link_), finalizer);
                for (uint64_t i = NODES; i--; list = list->next)
                        must(list->key == my->seed + i && *(uint64_t *)list->plain == ~list->key);
                must(!list);
                free(block);
        }
        weir_wg_done(my->wg);
}

/* Also what a process of the sweep does, where a refusal may end it. */
WEIR_TEST_WITH(a_program_runs_while_it_is_collected, .procs = 2, .timeout = 60)
{
        static void *global[64];
        weir_wg      wg = { 0 };

        weir_wg_add(&wg, GOROUTINES);
        for (int i = 0; i < GOROUTINES; i++)
                weir_go(works, .seed = (uint64_t)i << 32, .wg = &wg);
        for (int i = 0; i < CYCLES; i++) {
                void      *kept = weir_new_bytes(100000);
                int        root, hole;
                weir_weak *w;

                memset(kept, i + 1, 100000);
                root = weir_gc_root_add(&global[i], sizeof *global);
                hole = weir_gc_exclude(&global[32 + i], sizeof *global);
                must(root == 0 || root == -ENOMEM);
                must(hole == 0 || hole == -ENOMEM);
                w = weir_weak_make(kept);
                weir_gc_pin(kept);
                weir_gc_run();
                must(weir_weak_get(w) == kept && ((char *)kept)[99999] == i + 1);
                weir_gc_unpin(kept);
        }
        weir_wg_wait(&wg);
}

static bool ended_well(const struct again *e)
{
        return WIFEXITED(e->status) && WEXITSTATUS(e->status) == 0;
}

static bool said_so(const struct again *e)
{
        bool status = (WIFEXITED(e->status) && WEXITSTATUS(e->status)) ||
                      (WIFSIGNALED(e->status) && WTERMSIG(e->status) == SIGABRT);

        return status && (strstr(e->text, "no memory") || strstr(e->text, "out of memory") ||
                          strstr(e->text, "Cannot allocate memory") ||
                          strstr(e->text, "ENOMEM") || strstr(e->text, "no address space") ||
                          strstr(e->text, "no stack"));
}

static void sweep(bool all_after, const char *more)
{
        int well = 0, told = 0;

        for (int n = FIRST; n <= LAST; n++) {
                static struct again e;
                char                debug[64];

                snprintf(debug, sizeof debug, "gcforeign=1,%sfailmap=%d", more, all_after ? -n : n);
                run_again(&e, "a_program_runs_while_it_is_collected", debug);
                ck_assert_msg(ended_well(&e) || said_so(&e), "%s: status %#x\n%.3000s", debug, e.status,
                              e.text);
                well += ended_well(&e);
                told += !ended_well(&e);
        }
        printf("%d ended well, %d said that there is no memory\n", well, told);
        /* The sweep has gone past the last table that is needed, and has met some. */
        ck_assert_int_ge(well, 1);
        ck_assert_int_ge(told, 1);
}

PLAIN_TEST_WITH(each_table_that_is_refused_is_done_without_or_told, .timeout = 200)
{
        sweep(false, "");
}

PLAIN_TEST_WITH(so_are_all_from_one_on, .timeout = 200)
{
        sweep(true, "");
}

PLAIN_TEST_WITH(each_one_where_all_is_done_in_one_stop, .timeout = 200)
{
        sweep(false, "gcstop=1,");
}

/* What the kernel maps is at the limit from before the first collection on: no table of the
 * collector's is to be had, and no stack for a thread of its own. */
WEIR_TEST_WITH(the_first_collection_needs_no_memory, .procs = 2, .timeout = 60)
{
        static void  *kept[100];
        struct rlimit r;
        char          line[256];
        size_t        pages = 0;
        FILE         *f = fopen("/proc/self/statm", "r");

        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("a sanitizer needs memory itself");
        for (int i = 0; i < 100; i++)
                kept[i] = memset(weir_new_bytes(1000), i + 1, 1000);
        if (!f || !fgets(line, sizeof line, f))
                test_skip("no /proc");
        fclose(f);
        pages = strtoul(line, NULL, 10);
        ck_assert_int_eq(getrlimit(RLIMIT_AS, &r), 0);
        r.rlim_cur = pages * 4096;
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &r), 0);
        for (int i = 0; i < 5; i++) {
                weir_gc_run();
                for (int k = 0; k < 1000; k++)
                        memset(weir_new_bytes(1000), 0xA5, 1000);
                for (int k = 0; k < 100; k++)
                        must(((char *)kept[k])[0] == k + 1 && ((char *)kept[k])[999] == k + 1);
        }
        r.rlim_cur = r.rlim_max;
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &r), 0);
}
