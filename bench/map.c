/* Maps at a thousand, a million and ten million entries.
 *
 * u64_*    uint64_t to uint64_t by the functions for all types      typed_*  by WEIR_MAP_PLAIN
 * str_*    const char * to uint64_t, strings of 8 to 24 bytes
 *   insert   into an empty map without a hint; one op is one insertion
 *   hit, miss  one look-up of a key that is, or is not, there
 *   delete   one deletion until the map is empty      iterate   one entry met
 * batch_10M  weir_map_at_many, typed, hits; its twin in Go has no such thing and looks up singly
 * append     one int to a slice that grows to 10^7. weir sweeps without marking when it is full, so
 *            that this must not run before what holds a map
 * bytes_*    memory per entry, in bytes in place of ns; smaller tables on the way are left to the
 *            collector and count
 * longest_10M  the longest single insertion, in ns, on the way to 10^7 (its ns/op is that); the
 *            longest in which the kernel did not take the processor away; of these, without a page
 *            fault
 *
 * Fair: the same keys in the same order on both sides: a bijection of a counter, so that neither is
 * in memory order. Go's compiler knows the types of its maps and inlines hashing by AES; the typed
 * front is weir's answer to that, the other functions pay a call. Memory that one side's heap
 * needs is touched in the warm-up round on both. */
#define _GNU_SOURCE
#include "bench.h"
#include "mem/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { K = 1000, M = 1000000, N = 10000000 };

WEIR_MAP_PLAIN(words, uint64_t, uint64_t, weir_hash_word, weir_equal_word);

static uint64_t key_of(uint64_t i)
{
        i *= UINT64_C(0x9e3779b97f4a7c15);
        return i ^ i >> 32;
}

static int64_t now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* ---- strings ---- */

static char *texts;             /* of 32 bytes each */

static const char *text_of(uint64_t i)
{
        return texts + i * 32;
}

static void make_texts(size_t n)
{
        static size_t made, room;

        if (n > room) {
                texts = bench_alloc(room = n, 32);      /* maps may hold the ones before */
                made = 0;
        }
        for (; made < n; made++)
                snprintf(texts + made * 32, 32, "%.*s%" PRIu64, (int)(made % 8), "abcdefgh",
                         key_of(made) >> (made % 3 * 8));
}

/* ---- the two shapes ---- */

static words *typed_made(size_t n)
{
        words *m = words_new(0);

        for (uint64_t i = 0; i < n; i++)
                words_put(m, key_of(i), i);
        return m;
}

static weir_map *made(size_t n)
{
        weir_map *m = weir_map_make(uint64_t, uint64_t, 0);

        for (uint64_t i = 0; i < n; i++)
                weir_map_put(m, &(uint64_t){ key_of(i) }, &i);
        return m;
}

static weir_map *strings_made(size_t n)
{
        weir_map *m = weir_map_new_at(&weir_hash_cstr, sizeof(char *), sizeof(uint64_t), 0,
                                      WEIR_MAP_NOSCAN, __FILE__, __LINE__);

        make_texts(2 * n);
        for (uint64_t i = 0; i < n; i++)
                weir_map_put(m, &(const char *){ text_of(i) }, &i);
        return m;
}

/* Fills b->n maps; one op is one insertion. */
static void inserts(struct bench *b, size_t n, void (*fill)(size_t n))
{
        for (int64_t i = 0; i < b->n; i++)
                fill(n);
        b->per = (int64_t)n;
}

static void fill_typed(size_t n) { words_clear(typed_made(n)); }
static void fill(size_t n) { weir_map_clear(made(n)); }
static void fill_strings(size_t n) { weir_map_clear(strings_made(n)); }

static volatile uint64_t sink;

#define ONE(name, size, ...) BENCH(name) { size_t n = size; __VA_ARGS__ }
#define THREE(name, ...)                        \
        ONE(name##_1K, K, __VA_ARGS__)          \
        ONE(name##_1M, M, __VA_ARGS__)          \
        ONE(name##_10M, N, __VA_ARGS__)

/* All keys in turn, in the order of insertion, which their places do not have. */
#define EACH(b, k)                                                                              \
        for (uint64_t left_ = (uint64_t)(b)->n, end_; (end_ = left_ < n ? left_ : n);           \
             left_ -= end_)                                                                     \
                for (uint64_t k = 0; k < end_; k++)

static words    *typed_held;
static weir_map *held, *strings_held;

#define HOLD(var, make) do { if (!(var)) (var) = make(n); bench_timer_reset(b); } while (0)

THREE(typed_insert, { inserts(b, n, fill_typed); })
THREE(u64_insert, { inserts(b, n, fill); })
THREE(str_insert, { make_texts(2 * n); bench_timer_reset(b); inserts(b, n, fill_strings); })

THREE(typed_hit, {
        uint64_t sum = 0;
        HOLD(typed_held, typed_made);
        EACH(b, k) sum += *words_get(typed_held, key_of(k));
        sink = sum;
})
THREE(typed_miss, {
        uint64_t sum = 0;
        HOLD(typed_held, typed_made);
        EACH(b, k) sum += words_get(typed_held, key_of(k + n)) != NULL;
        sink = sum;
})
THREE(u64_hit, {
        uint64_t sum = 0, v = 0;
        HOLD(held, made);
        EACH(b, k) { weir_map_get(held, &(uint64_t){ key_of(k) }, &v); sum += v; }
        sink = sum;
})
THREE(u64_miss, {
        uint64_t sum = 0;
        HOLD(held, made);
        EACH(b, k) sum += weir_map_get(held, &(uint64_t){ key_of(k + n) }, NULL);
        sink = sum;
})
THREE(str_hit, {
        uint64_t sum = 0, v = 0;
        HOLD(strings_held, strings_made);
        EACH(b, k) { weir_map_get(strings_held, &(const char *){ text_of(k) }, &v); sum += v; }
        sink = sum;
})
THREE(str_miss, {
        uint64_t sum = 0;
        HOLD(strings_held, strings_made);
        EACH(b, k) sum += weir_map_get(strings_held, &(const char *){ text_of(k + n) }, NULL);
        sink = sum;
})

/* Starting and stopping the clock takes as long as some hundred deletions: small maps come four at
 * a time, which the second cache holds. */
enum { SMALL_AT_ONCE = 4 };

#define DELETES(name, type, make, delete, clear)                                        \
        THREE(name, {                                                                   \
                type   *m[SMALL_AT_ONCE];                                               \
                int64_t maps;                                                           \
                                                                                        \
                bench_timer_stop(b);                                                    \
                b->per = (int64_t)n;                                                    \
                for (int64_t left = b->n; left > 0; left -= maps) {                     \
                        maps = n > K ? 1 : left < SMALL_AT_ONCE ? left : SMALL_AT_ONCE; \
                        for (int64_t j = 0; j < maps; j++)                              \
                                m[j] = make(n);                                         \
                        bench_timer_start(b);                                           \
                        for (int64_t j = 0; j < maps; j++)                              \
                                for (uint64_t i = 0; i < n; i++)                        \
                                        delete;                                         \
                        bench_timer_stop(b);                                            \
                        for (int64_t j = 0; j < maps; j++)                              \
                                clear(m[j]);                                            \
                }                                                                       \
        })
DELETES(typed_delete, words, typed_made, words_del(m[j], key_of(i)), words_clear)
DELETES(u64_delete, weir_map, made, weir_map_del(m[j], &(uint64_t){ key_of(i) }), weir_map_clear)
THREE(typed_iterate, {
        uint64_t sum = 0;
        HOLD(typed_held, typed_made);
        b->per = (int64_t)n;
        for (int64_t left = b->n; left > 0; left--) {
                weir_map_iter it = { .map = words_map(typed_held) };
                uint64_t      k, v;

                while (words_next(&it, &k, &v))
                        sum += k + v;
        }
        sink = sum;
})

BENCH(batch_10M)
{
        enum { EACH_TIME = 512 };
        static uint64_t keys[EACH_TIME], *at[EACH_TIME];
        size_t          n = N;
        uint64_t        sum = 0, k = 0;

        HOLD(typed_held, typed_made);
        for (int64_t left = b->n; left > 0; left -= EACH_TIME) {
                size_t some = left < EACH_TIME ? (size_t)left : EACH_TIME;

                for (size_t i = 0; i < some; i++, k = k + 1 == n ? 0 : k + 1)
                        keys[i] = key_of(k);
                words_get_many(typed_held, keys, some, at);
                for (size_t i = 0; i < some; i++)
                        sum += *at[i];
        }
        sink = sum;
}

BENCH(append)
{
        b->per = N;
        for (int64_t left = b->n; left > 0; left--) {
                weir_slice(int) s = {0};

                for (int i = 0; i < N; i++)
                        weir_append(s, i);
                sink = (uint64_t)s.ptr[s.len / 2];
                weir__mem_sweep();
        }
}

/* How often the kernel took the processor from this thread, and brought a page. */
static void disturbed(long *ret_taken, long *ret_faults)
{
        struct rusage u;

        getrusage(RUSAGE_THREAD, &u);
        *ret_taken = u.ru_nivcsw;
        *ret_faults = u.ru_minflt;
}

BENCH(longest_10M)
{
        int64_t longest = 0, calm = 0, own = 0, before;
        long    taken, faults, t, f;
        words  *m = words_new(0);

        disturbed(&taken, &faults);
        before = now();
        for (uint64_t i = 0; i < N; i++) {
                int64_t after, d;

                words_put(m, key_of(i), i);
                after = now();
                d = after - before;
                if (d > 10000) {                /* only of these it is asked */
                        longest = d > longest ? d : longest;
                        disturbed(&t, &f);
                        calm = t == taken && d > calm ? d : calm;
                        own = t == taken && f == faults && d > own ? d : own;
                        taken = t;
                        faults = f;
                        after = now();
                }
                before = after;
        }
        words_clear(m);
        bench_metric(b, (double)longest, "ns/op");
        bench_metric(b, (double)calm, "undisturbed-ns");
        bench_metric(b, (double)own, "faultless-ns");
}

/* What the heap has in use more for each entry; no time at all. */
static void bytes(struct bench *b, size_t n)
{
        weir_mem_stats before, after;
        words         *m;

        weir_mem_read(&before);
        m = typed_made(n);
        weir_mem_read(&after);
        bench_metric(b, (double)(after.heap_in_use - before.heap_in_use) / (double)n, "ns/op");
        words_clear(m);
}

ONE(bytes_1M, M, { bytes(b, n); })
ONE(bytes_10M, N, { bytes(b, n); })
