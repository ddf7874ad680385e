/* What is reachable stays, wherever the pointer is; what is not goes. */
#include "check.h"
#include "base/debug.h"
#include "mem/mem.h"
#include "sched/state.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where malloc is another's, only tests that keep nothing there can be run. */
static bool foreign(void)
{
        void *p = calloc(1, 1);
        bool  own = weir__mem_own(p);

        free(p);
        return !own;
}

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 1);
        setenv("WEIR_GC", "off", 1);            /* only when a test says so */
}

typedef struct node {
        struct node *left, *right;
        uint64_t     key;
} node;
WEIR_TYPE(node, left, right);

typedef struct number {
        uint64_t value;
        void    *not_a_pointer;
} number;
WEIR_TYPE_PLAIN(number);

/* Tables of these sanitizers hold copies of what the program holds, so not all that is dead
 * goes. */
enum { COPIES = WEIR_ASAN || WEIR_TSAN };

static void need_death(void)
{
        if (COPIES)
                test_skip("the sanitizer may keep what is dead");
}

/* An address that nobody takes for a pointer. */
typedef uintptr_t hidden;

static noinline hidden hide(const void *p)
{
        return ~(uintptr_t)p;
}

static noinline void *show(hidden h)
{
        return (void *)~h;
}

static noinline uint64_t key_of(hidden h)
{
        return *(uint64_t *)(~h + 16);
}

static noinline bool alive(hidden h)
{
        struct mem_object o;

        return weir__mem_find(show(h), &o) && o.kind != MEM_MANUAL && o.base == show(h);
}

/* Leaves nothing of what was on the stack and in registers above. */
static noinline void forget(void)
{
        volatile char waste[4096];

        for (size_t i = 0; i < sizeof waste; i++)
                waste[i] = 0;
        __asm__ volatile("xor %%ebx, %%ebx\n\txor %%r12d, %%r12d\n\txor %%r13d, %%r13d\n\t"
                         "xor %%r14d, %%r14d\n\txor %%r15d, %%r15d"
                         : : : "rbx", "r12", "r13", "r14", "r15");
}

static noinline void collect(void)
{
        forget();
        weir_gc_run();
}

static noinline hidden make_node(uint64_t key)
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

static node *volatile   global;
static __thread node *volatile local_to_thread;
static void           *block;

WEIR_TEST(what_nothing_points_to_goes)
{
        int gone = 0;

        for (int i = 0; i < 100; i++) {
                hidden h = make_node(1);

                collect();
                gone += !alive(h);
        }
        ck_assert_int_ge(gone, COPIES ? 0 : 95);
}

WEIR_TEST(globals_and_thread_locals_hold)
{
        static node *volatile in_function WEIR_UNUSED;

        STAYS_AND_GOES(global = show(h), global = NULL);
        STAYS_AND_GOES(in_function = show(h), in_function = NULL);
        weir_thread_lock();                     /* else the drop may be on another */
        STAYS_AND_GOES(local_to_thread = show(h), local_to_thread = NULL);
        weir_thread_unlock();
}

WEIR_TEST(what_a_thread_keeps_by_key_holds)
{
        static pthread_key_t key[40];           /* more than what is beside the thread itself */

        if (foreign())
                test_skip("malloc is another's");
        for (size_t i = 0; i < COUNT(key); i++)
                ck_assert_int_eq(pthread_key_create(&key[i], NULL), 0);
        weir_thread_lock();
        STAYS_AND_GOES(pthread_setspecific(key[0], show(h)), pthread_setspecific(key[0], NULL));
        STAYS_AND_GOES(pthread_setspecific(key[39], show(h)), pthread_setspecific(key[39], NULL));
        weir_thread_unlock();
}

WEIR_TEST(blocks_of_malloc_hold)
{
        if (foreign())
                test_skip("malloc is another's");
        STAYS_AND_GOES(block = malloc(24); ((hidden *)block)[1] = (hidden)show(h),
                       memset(block, 0, 24); free(block));
        STAYS_AND_GOES(block = calloc(1, 300000); ((hidden *)block)[30000] = (hidden)show(h),
                       memset(block, 0, 300000); free(block));
        STAYS_AND_GOES(block = malloc(16); ((hidden *)block)[0] = (hidden)show(h);
                       block = realloc(block, 100000), memset(block, 0, 100000); free(block));
}

WEIR_TEST(objects_hold_by_their_kind)
{
        hidden typed = make_node(0);
        void **plain = weir_new_bytes(100 * sizeof *plain);
        number *noscan = weir_new(number);
        int     gone = 0;

        global = (node *)~typed;
        STAYS_AND_GOES(weir_set(global->left, show(h)), weir_set(global->left, NULL));
        STAYS_AND_GOES(plain[37] = show(h), plain[37] = NULL);
        weir_keep_alive(plain);
        /* In what was declared to hold none, a pointer does not count. */
        for (int i = 0; i < 5; i++) {
                hidden h = make_node(1);

                noscan->not_a_pointer = show(h);
                noscan->value = (hidden)show(h);
                global->key = (hidden)show(h);
                collect();
                gone += !alive(h);
        }
        weir_keep_alive(noscan);
        global = NULL;
        ck_assert_int_ge(gone, COPIES ? 0 : 4);
}

WEIR_TEST(pointers_into_and_to_the_end_hold)
{
        static char *volatile inside;
        node       **array;

        /* Of a typed object: into it, and on a stack one past its end. */
        STAYS_AND_GOES(inside = (char *)show(h) + 16, inside = NULL);
        {
                char *volatile end WEIR_UNUSED;

                STAYS_AND_GOES(end = (char *)show(h) + sizeof(node), end = NULL);
        }
        for (size_t size = 1; size < 200000; size = size * 5 / 2 + 1) {
                char  *bytes = weir_new_bytes(size);
                hidden h = hide(bytes);

                memset(bytes, 0x5a, size);
                inside = bytes + size;
                bytes = NULL;
                collect();
                ck_assert_msg(alive(h), "%zu bytes, a pointer to their end", size);
                inside--;
                collect();
                ck_assert_msg(alive(h), "%zu bytes, a pointer to the last", size);
                ck_assert_int_eq(*inside, 0x5a);
        }
        array = weir_gc_alloc(&(weir_type){ .name = "node *", .size = sizeof *array, .nptrs = 1,
                                            .ptrs = (weir_ptrs[]){ { 0, 1 } } }, 1000);
        STAYS_AND_GOES(weir_set(array[999], show(h)), weir_set(array[999], NULL));
        weir_keep_alive(array);
        inside = NULL;
}

weir_task(holder, my, { node *n; weir_chan *c; weir_wg *wg; })
{
        node *n = my->n;
        int   v;

        my->n = NULL;
        weir_recv(my->c, &v);
        ck_assert_uint_eq(n->key, 4711);
        weir_wg_done(my->wg);
}

weir_task(by_argument, my, { node *n; weir_chan *c; weir_wg *wg; })
{
        int v;

        weir_recv(my->c, &v);
        ck_assert_uint_eq(my->n->key, 4711);
        weir_wg_done(my->wg);
}

static noinline void start_holder(hidden h, weir_chan *c, weir_wg *wg, bool run_first)
{
        weir_wg_add(wg, 2);
        weir_go(holder, .n = show(h), .c = c, .wg = wg);
        weir_go(by_argument, .n = show(h), .c = c, .wg = wg);
        for (int i = 0; run_first && i < 10; i++)
                weir_yield();
}

WEIR_TEST(goroutines_and_their_arguments_hold)
{
        weir_wg    wg = { 0 };
        weir_chan *c = weir_chan_make(int, 2);
        int        v = 0;

        for (int first = 0; first < 2; first++)
                STAYS_AND_GOES(start_holder(h, c, &wg, first),
                               weir_send(c, &v); weir_send(c, &v); weir_wg_wait(&wg));
}

WEIR_TEST(channels_hold_what_they_carry)
{
        weir_chan *c = weir_chan_make(node *, 4);
        node      *n = NULL;

        STAYS_AND_GOES(n = show(h); weir_send(c, &n); n = NULL,
                       ck_assert(weir_recv(c, &n)); n = NULL);
}

static void on_timer(void *arg)
{
        ((node *)arg)->key++;
}

static noinline weir_timer *start_timer(hidden h)
{
        return weir_timer_start(3600 * WEIR_SECOND, 0, on_timer, show(h));
}

WEIR_TEST(timers_hold_their_argument)
{
        for (int i = 0; i < 5; i++) {
                hidden      h = make_node(1);
                weir_timer *t = start_timer(h);

                collect();
                ck_assert(alive(h));
                weir_timer_stop(t);
        }
}

static void *thread_with_local(void *arg)
{
        hidden        *h = arg;
        node *volatile n = show(h[0]);

        store_seq(&h[1], 1);
        while (load_seq(&h[1]) == 1)
                usleep(100);
        n = NULL;
        (void)n;
        return NULL;
}

static void join(void *arg)
{
        pthread_join(*(pthread_t *)arg, NULL);
}

WEIR_TEST_WITH(threads_of_the_program_hold, .procs = 2)
{
        pthread_t t;
        hidden    words[2];

        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
        STAYS_AND_GOES(words[0] = h; store_seq(&words[1], 0);
                       pthread_create(&t, NULL, thread_with_local, words);
                       while (!load_seq(&words[1])) weir_yield(),
                       store_seq(&words[1], 2); weir_blocking(join, &t));
}

WEIR_TEST(named_memory_holds_and_other_mappings_do_not)
{
        hidden *map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int     gone = 0;

        ck_assert_ptr_ne(map, MAP_FAILED);
        ck_assert_int_eq(weir_gc_root_add(map, 65536), 0);
        STAYS_AND_GOES(map[8191] = (hidden)show(h), map[8191] = 0);
        ck_assert_int_eq(weir_gc_root_remove(map, 65536), 0);
        ck_assert_int_eq(weir_gc_root_remove(map, 65536), -ENOENT);
        ck_assert_int_eq(weir_gc_root_add((char *)map + 1, 8), -EINVAL);
        ck_assert_int_eq(weir_gc_root_add(NULL, 8), -EINVAL);
        for (int i = 0; i < 5; i++) {
                hidden h = make_node(1);

                map[0] = (hidden)show(h);
                collect();
                gone += !alive(h);
        }
        ck_assert_int_ge(gone, COPIES ? 0 : 4);
        munmap(map, 65536);
}

/* Roots are marked by one marker, and there are more of them here than the boxes to the other one
 * hold, which does not run yet. Once the first waited for it there for ever. */
WEIR_TEST_WITH(more_roots_than_one_marker_can_send_hold, .procs = 2)
{
        enum { ROOTS = 40000 };
        static node *volatile many[ROOTS];

        weir__debug.gcstop = 1;
        for (uint64_t i = 0; i < ROOTS; i++) {
                many[i] = weir_new(node);
                many[i]->key = i;
                if (i % 100 == 0)
                        (void)weir_new_bytes(100000);   /* over many pieces of the heap */
        }
        collect();
        for (uint64_t i = 0; i < ROOTS; i++)
                must(many[i]->key == i && alive(hide(many[i])));
        memset((void *)many, 0, sizeof many);
}

/* ---- a heap at random, against a reference ---- */

enum { OBJECTS = 20000, EDGES = 3 };

typedef struct thing {
        struct thing *edge[EDGES];
        uint64_t      check;
} thing;
WEIR_TYPE(thing, edge);

struct shadow {
        hidden   at;
        uint32_t edge[EDGES];           /* 0: none */
        bool     reached;
};

static struct shadow *shadow;           /* outside of all roots */
static uint32_t      *work;

static uint64_t rand_next(uint64_t *s)
{
        *s ^= *s << 13;
        *s ^= *s >> 7;
        *s ^= *s << 17;
        return *s;
}

static void reach(uint32_t from)
{
        uint32_t n = 0;

        work[n++] = from;
        while (n) {
                struct shadow *s = &shadow[work[--n]];

                if (s->reached)
                        continue;
                s->reached = true;
                for (int k = 0; k < EDGES; k++)
                        if (s->edge[k] && !shadow[s->edge[k]].reached)
                                work[n++] = s->edge[k];
        }
}

weir_task(build, my, { uint64_t *seed; weir_wg *wg; })
{
        uint64_t *seed = my->seed;

        for (uint32_t i = 1; i < OBJECTS; i++) {
                size_t extra = rand_next(seed) % 8 ? 0 : rand_next(seed) % 100000;
                thing *t = i % 3 == 0 ? weir_new(thing)
                                      : weir_new_bytes(sizeof *t + (i % 3 - 1) * extra);

                t->check = i * UINT64_C(0x9E3779B97F4A7C15);
                shadow[i] = (struct shadow){ .at = hide(t) };
        }
        for (uint32_t i = 1; i < OBJECTS; i++)
                for (int k = 0; k < EDGES; k++) {
                        uint32_t to = (uint32_t)(rand_next(seed) % OBJECTS);

                        if (rand_next(seed) % 3)
                                to = 0;
                        shadow[i].edge[k] = to;
                        if (to)
                                weir_set(((thing *)show(shadow[i].at))->edge[k],
                                         (thing *)show(shadow[to].at));
                }
        weir_wg_done(my->wg);
}

static thing *volatile roots[100];

WEIR_TEST_WITH(a_random_heap_keeps_what_a_reference_reaches, .procs = 2, .timeout = 60)
{
        uint64_t seed = 88172645463325252;
        int      crowded = 0;
        weir_wg  wg = { 0 };

        shadow = mmap(NULL, OBJECTS * sizeof *shadow, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        work = mmap(NULL, OBJECTS * EDGES * sizeof *work, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int round = 0; round < 10; round++) {
                uint32_t kept = 0, lost = 0, reached = 0;

                weir_wg_add(&wg, 1);
                weir_go(build, .seed = &seed, .wg = &wg);
                weir_wg_wait(&wg);
                for (int i = 0; i < 100; i++) {
                        uint32_t r = 1 + (uint32_t)(rand_next(&seed) % (OBJECTS - 1));

                        roots[i] = i % 10 ? NULL : (thing *)~shadow[r].at;
                        if (roots[i])
                                reach(r);
                }
                collect();
                for (uint32_t i = 1; i < OBJECTS; i++) {
                        bool is = alive(shadow[i].at);

                        reached += shadow[i].reached;
                        lost += shadow[i].reached && !is;
                        kept += !shadow[i].reached && is;
                        if (shadow[i].reached && is)
                                ck_assert_uint_eq(((thing *)~shadow[i].at)->check,
                                                  i * UINT64_C(0x9E3779B97F4A7C15));
                }
                ck_assert_msg(!lost, "round %d: %u of %u reachable ones went", round,
                              lost, reached);
                /* One stale word may keep a large part of such a graph. */
                crowded += kept > OBJECTS / 200;
                memset((void *)roots, 0, sizeof roots);
                collect();
        }
        ck_assert_msg(crowded <= 3 || COPIES, "in %d of 10 rounds unreachable ones stayed", crowded);
}

/* ---- types ---- */

typedef struct wide {
        void *f[32];
} wide;
WEIR_TYPE(wide, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], f[12],
          f[13], f[14], f[15], f[16], f[17], f[18], f[19], f[20], f[21], f[22], f[23], f[24], f[25], f[26],
          f[27], f[28], f[29], f[30], f[31]);

typedef struct nested {
        int                  a;
        struct { node *n; int b; } inner;
        node                *many[5];
} nested;
WEIR_TYPE(nested, inner.n, many);

WEIR_TEST(fields_of_all_shapes_hold)
{
        static wide *volatile   w;
        static nested *volatile n, *volatile array;

        w = weir_new(wide);
        n = weir_new(nested);
        array = weir_new_array(nested, 3000);
        STAYS_AND_GOES(weir_set(w->f[0], show(h)), weir_set(w->f[0], NULL));
        STAYS_AND_GOES(weir_set(w->f[31], show(h)), weir_set(w->f[31], NULL));
        STAYS_AND_GOES(weir_set(n->inner.n, show(h)), weir_set(n->inner.n, NULL));
        STAYS_AND_GOES(weir_set(n->many[4], show(h)), weir_set(n->many[4], NULL));
        STAYS_AND_GOES(weir_set(array[2999].many[4], show(h)),
                       weir_set(array[2999].many[4], NULL));
        w = NULL;
        n = array = NULL;
}

static void alloc_bad(void *type)
{
        weir_gc_alloc(type, 1);
}

static void refused(const weir_type *t, const char *words)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(alloc_bad, (void *)(uintptr_t)t, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, words) != NULL, "%s", info.message);
}

static void alloc_too_much(void *n)
{
        weir_new_array(node, *(size_t *)n);
}

WEIR_TEST(types_that_make_no_sense_are_refused)
{
        static const weir_ptrs odd[] = { { 4, 1 } }, outside[] = { { 16, 2 } },
                               over[] = { { 0, 2 }, { 8, 1 } }, none[] = { { 8, 0 } };
        weir_panic_info info;
        size_t          n = SIZE_MAX / 16;

        refused(&(weir_type){ "odd", 24, 1, odd, 0, NULL }, "not aligned");
        refused(&(weir_type){ "outside", 24, 1, outside, 0, NULL }, "outside of its 24 bytes");
        refused(&(weir_type){ "over", 24, 2, over, 0, NULL }, "overlap");
        refused(&(weir_type){ "none", 24, 1, none, 0, NULL }, "smaller than a pointer");
        ck_assert_int_eq(weir_protect(alloc_too_much, &n, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, "too large") != NULL, "%s", info.message);
        ck_assert_ptr_ne(weir_new_array(node, 0), NULL);
        ck_assert_ptr_ne(weir_new_bytes(0), NULL);
}

typedef struct slot {
        node    *key;
        uint64_t number;
} slot;
WEIR_TYPE(slot, key);

typedef struct row {
        uint64_t number;
        slot     slot[20];
} row;
WEIR_TYPE_PARTS(row, WEIR_PART(row, slot, slot));

typedef struct table {
        node    *owner;
        row      row[10];
        uint32_t n;
        slot     more[];
} table;
WEIR_TYPE_PARTS(table, WEIR_PART(table, owner, weir_any_ptr), WEIR_PART(table, row, row),
                WEIR_TAIL(table, more, slot));

typedef struct vector {
        size_t n;
        node  *item[];
} vector;
WEIR_TYPE_FLEX(vector, item, weir_any_ptr);

typedef struct text {
        node    *owner;
        uint64_t word[];
} text;
typedef uint64_t word;
WEIR_TYPE_PLAIN(word);
WEIR_TYPE_FLEX_WITH(text, word, word, owner);

WEIR_TEST(parts_and_flexible_arrays_hold)
{
        static row *volatile    r;
        static table *volatile  t;
        static vector *volatile v;
        static text *volatile   x;

        r = weir_new_array(row, 100);
        STAYS_AND_GOES(weir_set(r[99].slot[19].key, show(h)),
                       weir_set(r[99].slot[19].key, NULL));
        for (size_t n = 1; n <= 10000; n *= 10) {
                t = weir_new_flex(table, n);
                STAYS_AND_GOES(weir_set(t->owner, show(h)), weir_set(t->owner, NULL));
                STAYS_AND_GOES(weir_set(t->row[9].slot[19].key, show(h)),
                               weir_set(t->row[9].slot[19].key, NULL));
                STAYS_AND_GOES(weir_set(t->more[0].key, show(h)), weir_set(t->more[0].key, NULL));
                STAYS_AND_GOES(weir_set(t->more[n - 1].key, show(h)),
                               weir_set(t->more[n - 1].key, NULL));
                v = weir_new_flex(vector, n);
                STAYS_AND_GOES(weir_set(v->item[n - 1], show(h)),
                               weir_set(v->item[n - 1], NULL));
                x = weir_new_flex(text, n);
                STAYS_AND_GOES(weir_set(x->owner, show(h)), weir_set(x->owner, NULL));
        }
        r = NULL, t = NULL, v = NULL, x = NULL;
}

/* Numbers beside the pointers, and in a tail without any, hold nothing. */
WEIR_TEST(what_is_between_parts_holds_nothing)
{
        static table *volatile t;
        static text *volatile  x;
        int                    gone = 0;

        need_death();
        t = weir_new_flex(table, 100);
        x = weir_new_flex(text, 1000);
        for (int i = 0; i < 5; i++) {
                hidden h = make_node(1);

                for (int k = 0; k < 100; k++)
                        t->more[k].number = (uint64_t)(uintptr_t)show(h);
                for (int k = 0; k < 10; k++)
                        t->row[k].number = t->row[k].slot[k].number = (uint64_t)(uintptr_t)show(h);
                for (int k = 0; k < 1000; k++)
                        x->word[k] = (uint64_t)(uintptr_t)show(h);
                collect();
                gone += !alive(h);
        }
        ck_assert_int_ge(gone, 4);
        t = NULL, x = NULL;
}

static void many_with_tail(void *arg)
{
        (void)arg;
        (void)weir_new_array(table, 2);
}

static void no_flexible_array(void *arg)
{
        (void)arg;
        (void)weir_new_flex(node, 2);
}

static void far_too_many(void *arg)
{
        (void)arg;
        (void)weir_new_flex(table, SIZE_MAX / 16);
}

WEIR_TEST(parts_that_make_no_sense_are_refused)
{
        static const weir_part odd[] = { { &weir_type_slot, 4, 1 } },
                               outside[] = { { &weir_type_slot, 16, 2 } },
                               over[] = { { &weir_type_slot, 0, 2 }, { &weir_type_slot, 16, 1 } },
                               inner[] = { { &weir_type_slot, 0, 0 }, { &weir_type_slot, 16, 1 } },
                               tail[] = { { &weir_type_table, 0, 1 } },
                               both[] = { { &weir_type_slot, 8, 1 } };
        static const weir_ptrs ptr[] = { { 8, 1 } };
        static weir_part       self[1];
        static const weir_type loop = { "loop", 16, 0, NULL, 1, self };

        self[0] = (weir_part){ &loop, 0, 1 };
        refused(&(weir_type){ "odd", 40, 0, NULL, 1, odd }, "not aligned");
        refused(&(weir_type){ "outside", 40, 0, NULL, 1, outside }, "outside of its 40 bytes");
        refused(&(weir_type){ "over", 48, 0, NULL, 2, over }, "bytes 0 and 16 overlap");
        refused(&(weir_type){ "inner", 48, 0, NULL, 2, inner }, "not its end");
        refused(&(weir_type){ "tail", 4096, 0, NULL, 1, tail }, "only be at the end");
        refused(&(weir_type){ "both", 48, 1, ptr, 1, both }, "overlap");
        refused(&loop, "deep");
        ck_assert_int_eq(weir_protect(many_with_tail, NULL, NULL), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(no_flexible_array, NULL, NULL), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(far_too_many, NULL, NULL), WEIR_EPANIC);
}

WEIR_TEST(memory_is_zero_and_aligned)
{
        size_t wrong = 0;

        for (size_t size = 1; size < 100000; size += size / 3 + 1)
                for (int i = 0; i < 3; i++) {
                        unsigned char *p = weir_new_bytes(size);

                        ck_assert_uint_eq((uintptr_t)p % (size < 16 ? 8 : 16), 0);
                        for (size_t k = 0; k < size; k++)
                                wrong += p[k] != 0;
                        memset(p, 0xff, size);
                        if (i == 1)
                                collect();
                }
        ck_assert_uint_eq(wrong, 0);
}

/* ---- finalizers ---- */

static uint32_t finalized;              /* atomic */
static uint64_t order[16];
static node *volatile rescued;

static void count_final(void *obj)
{
        order[load_relaxed(&finalized) % 16] = ((node *)obj)->key;
        fetch_add_seq(&finalized, 1);
}

static void rescue(void *obj)
{
        rescued = obj;
        fetch_add_seq(&finalized, 1);
}

static void wait_final(uint32_t n)
{
        for (int i = 0; i < 2000 && load_seq(&finalized) < n; i++)
                weir_sleep(WEIR_MILLISECOND);
        ck_assert_uint_eq(load_seq(&finalized), n);
}

/* On a goroutine of its own: when it has ended, no word of its stack counts. */
weir_task(maker, my, { uint64_t key; void (*fn)(void *); int n; hidden *ret; weir_wg *wg; })
{
        hidden last = 0;

        for (int i = 0; i < my->n; i++) {
                hidden h = make_node(my->key + (unsigned)i);

                weir_gc_finalize(show(h), my->fn);
                if (i)                          /* a chain, the earlier to the later */
                        weir_set(((node *)show(last))->left, (node *)show(h));
                else
                        *my->ret = h;
                last = h;
        }
        weir_wg_done(my->wg);
}

static noinline hidden make_chain(uint64_t key, int n, void (*fn)(void *))
{
        weir_wg wg = { 0 };
        hidden  h = 0;

        weir_wg_add(&wg, 1);
        weir_go(maker, .key = key, .fn = fn, .n = n, .ret = &h, .wg = &wg);
        weir_wg_wait(&wg);
        return h;
}

static noinline hidden make_final(uint64_t key, void (*fn)(void *))
{
        return make_chain(key, 1, fn);
}

WEIR_TEST(a_finalizer_runs_once_after_its_object_died)
{
        hidden h;

        need_death();
        h = make_final(7, count_final);
        global = show(h);
        collect();
        collect();
        ck_assert_uint_eq(load_seq(&finalized), 0);
        global = NULL;
        collect();
        wait_final(1);
        ck_assert_uint_eq(order[0], 7);
        collect();
        collect();
        wait_final(1);
        ck_assert(!alive(h));
}

WEIR_TEST(who_points_is_finalized_first)
{
        need_death();
        (void)make_chain(1, 2, count_final);
        collect();
        wait_final(1);
        collect();
        wait_final(2);
        ck_assert_uint_eq(order[0], 1);
        ck_assert_uint_eq(order[1], 2);
}

WEIR_TEST(a_finalizer_may_rescue_its_object)
{
        hidden h;

        need_death();
        h = make_final(3, rescue);
        collect();
        wait_final(1);
        collect();
        ck_assert(alive(h));
        ck_assert_uint_eq(rescued->key, 3);
        rescued = NULL;
        collect();
        wait_final(1);
        ck_assert(!alive(h));
}

static void not_an_object(void *p)
{
        weir_gc_finalize(p, count_final);
}

WEIR_TEST(finalizers_are_replaced_and_taken_back)
{
        hidden          a = make_final(1, count_final), b = make_final(2, count_final);
        weir_panic_info info;
        int             local = 0;

        need_death();
        weir_gc_finalize((void *)~a, NULL);
        weir_gc_finalize((void *)~b, rescue);
        ck_assert_int_eq(weir_protect(not_an_object, &local, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, "not the start of a collected object") != NULL, "%s",
                      info.message);
        ck_assert_int_eq(weir_protect(not_an_object, (char *)~a + 8, NULL), WEIR_EPANIC);
        collect();
        wait_final(1);
        ck_assert_ptr_ne(rescued, NULL);
        ck_assert_uint_eq(rescued->key, 2);
        rescued = NULL;
}

static void allocate_and_park(void *obj)
{
        node *n = weir_new(node);

        weir_set(n->left, obj);
        weir_yield();
        fetch_add_seq(&finalized, 1);
}

WEIR_TEST_WITH(many_finalizers_each_run_once, .procs = 2, .timeout = 60)
{
        enum { MANY = 20000 };

        need_death();
        for (uint32_t i = 0; i < MANY; i++)
                (void)make_final(i, allocate_and_park);
        collect();
        forget();
        collect();
        /* Some may still be seen by a stale word. */
        for (int i = 0; i < 2000 && load_seq(&finalized) < MANY - 100; i++)
                weir_sleep(WEIR_MILLISECOND);
        collect();
        weir_sleep(20 * WEIR_MILLISECOND);
        ck_assert_uint_ge(load_seq(&finalized), MANY - 100);
        ck_assert_uint_le(load_seq(&finalized), MANY);
}

/* ---- when ---- */

static noinline void garbage(size_t bytes)
{
        for (size_t i = 0; i < bytes; i += 64)
                ((char *)weir_new_bytes(50))[0] = 1;
}

WEIR_TEST_WITH(the_heap_stays_near_its_goal, .procs = 2, .timeout = 60)
{
        weir_mem_stats s, before;

        weir_mem_read(&before);
        ck_assert_int_eq(weir_gc_percent(100), -1);
        garbage(200 << 20);
        weir_mem_read(&s);
        ck_assert_uint_ge(s.gc_cycles - before.gc_cycles, 20);
        ck_assert_uint_le(s.heap_in_use, 64 << 20);
        ck_assert_uint_eq(s.gc_forced, before.gc_forced);
        ck_assert_uint_gt(s.gc_pause_max_ns, 0);
        ck_assert_int_eq(weir_gc_percent(-5), 100);
        collect();                              /* one that is under way ends first */
        weir_mem_read(&before);
        garbage(50 << 20);
        weir_mem_read(&s);
        ck_assert_uint_eq(s.gc_cycles, before.gc_cycles);
        collect();
        weir_mem_read(&s);
        ck_assert_uint_eq(s.gc_forced, before.gc_forced + 1);
        ck_assert_uint_lt(s.heap_live, 4 << 20);
}

WEIR_TEST_WITH(at_the_limit_of_memory_collections_come_before_the_goal, .procs = 2)
{
        weir_mem_stats s;

        weir_gc_percent(5000);
        weir_memory_limit(32 << 20);
        garbage(100 << 20);
        weir_mem_read(&s);
        ck_assert_uint_le(s.heap_in_use, 40 << 20);
        ck_assert_uint_ge(s.gc_cycles, 3);
}

/* More is live than the limit allows: collections may take half of the time. */
WEIR_TEST_WITH(a_limit_below_what_is_live_leaves_the_program_its_time, .procs = 2, .timeout = 60)
{
        enum { LIVE = 64 << 20, PIECE = 1 << 16 };
        static weir_gc_cycle c[256];
        void               **keep = weir_new_bytes(LIVE / PIECE * sizeof *keep);
        unsigned             by_limit = 0;
        size_t               n;

        for (int i = 0; i < LIVE / PIECE; i++)
                keep[i] = memset(weir_new_bytes(PIECE), 0x5a, PIECE);
        weir_gc_percent(5000);
        weir_memory_limit(32 << 20);
        garbage(400 << 20);
        n = weir_gc_history(c, COUNT(c));
        for (size_t i = 0; i + 1 < n; i++)              /* the newest first */
                if (!strcmp(c[i].why, "limit") && !strcmp(c[i + 1].why, "limit")) {
                        by_limit++;
                        ck_assert_int_ge(c[i].began - c[i + 1].ended,
                                         c[i + 1].ended - c[i + 1].began);
                }
        ck_assert_uint_ge(by_limit, 1);
        weir_keep_alive(keep);
}

WEIR_TEST_WITH(the_history_tells_what_the_statistics_sum, .procs = 2, .timeout = 60)
{
        static weir_gc_cycle c[300];
        weir_mem_stats       s;
        uint64_t             forced = 0, stopped = 0;
        int64_t              longest = 0;
        size_t               n;

        collect();
        global = show(make_node(1));
        for (int i = 0; i < 10; i++) {
                garbage(1 << 20);
                weir_gc_run();
        }
        weir_mem_read(&s);
        n = weir_gc_history(c, COUNT(c));
        ck_assert_uint_eq(n, s.gc_cycles);
        ck_assert_uint_gt(s.gc_cpu_ns, 0);
        for (size_t i = 0; i < n; i++) {
                ck_assert_uint_eq(c[i].number, n - i);
                ck_assert(c[i].began < c[i].ended && c[i].stop_last > 0);
                ck_assert_uint_le(c[i].live, c[i].before);
                ck_assert_uint_ge(c[i].before, c[i].at_start);
                ck_assert_uint_ge(c[i].markers, 1);
                ck_assert(c[i].objects || i == n - 1);
                if (i)
                        ck_assert(c[i].ended <= c[i - 1].began);
                forced += strcmp(c[i].why, "forced") == 0;
                stopped += (uint64_t)(c[i].stop_first + c[i].stop_last);
                longest = MAX(longest, c[i].stop_first);
                longest = MAX(longest, c[i].stop_last);
        }
        ck_assert_uint_eq(forced, s.gc_forced);
        ck_assert_uint_eq(stopped, s.gc_pause_total_ns);
        ck_assert_int_eq(longest, (int64_t)s.gc_pause_max_ns);
        for (int i = 0; i < 300; i++)
                weir_gc_run();
        ck_assert_uint_eq(weir_gc_history(c, COUNT(c)), 256);
        ck_assert_uint_eq(weir_gc_history(c, 3), 3);
        ck_assert_uint_eq(c[0].number, n + 300);
}
