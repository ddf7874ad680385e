/* malloc and its kin, under the names that they have in every build. */
/* timeout: 240 */
#include "check.h"
#include "arch/arch.h"
#include "mem/heap.h"
#include "os/os.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

PLAIN_TEST_WITH(blocks_are_aligned_and_do_not_overlap, .timeout = 60)
{
        enum { BLOCKS = 5000, OPS = 200000 };
        struct { unsigned char *p; size_t size; } b[BLOCKS] = { 0 };
        uint64_t seed = 1;

        for (int op = 0; op < OPS; op++) {
                unsigned i = weir__rand_below(&seed, BLOCKS);

                if (b[i].p) {           /* its first and last bytes still name it */
                        ck_assert_uint_eq(b[i].p[0], (unsigned char)i);
                        ck_assert_uint_eq(b[i].p[b[i].size - 1], (unsigned char)i);
                        weir__free(b[i].p);
                        b[i].p = NULL;
                        continue;
                }
                b[i].size = 1 + weir__rand_below(&seed, op % 100 ? 2000 : 200000);
                b[i].p = weir__malloc(b[i].size);
                ck_assert_ptr_nonnull(b[i].p);
                ck_assert_uint_eq((uintptr_t)b[i].p % (b[i].size > 8 ? 16 : 8), 0);
                ck_assert_uint_ge(weir__malloc_usable_size(b[i].p), b[i].size);
                b[i].p[0] = b[i].p[b[i].size - 1] = (unsigned char)i;
        }
        weir__mem_check();
}

PLAIN_TEST(every_byte_of_a_block_leads_to_its_span)
{
        for (size_t size = 1; size < 300000; size = size * 5 / 3 + 1) {
                char        *p = weir__malloc(size);
                struct span *s = weir__span_of((uintptr_t)p);

                ck_assert_ptr_nonnull(s);
                for (size_t i = 0; i < size; i += 1 + size / 1000) {
                        ck_assert_ptr_eq(weir__span_of((uintptr_t)p + i), s);
                        if (s->class)
                                ck_assert_uint_eq(span_object(s, span_index(s, (uintptr_t)p + i)),
                                                  (uintptr_t)p);
                }
                weir__free(p);
                if (!s->class)
                        ck_assert_ptr_null(weir__span_of((uintptr_t)p));
        }
        ck_assert_ptr_null(weir__span_of(0));
        ck_assert_ptr_null(weir__span_of((uintptr_t)&(int){ 0 }));
        ck_assert_ptr_null(weir__span_of(UINTPTR_MAX));
}

PLAIN_TEST(calloc_clears_what_was_used_before)
{
        static const size_t sizes[] = { 1, 8, 100, 1024, 5000, 70000, 1 << 20 };

        for (size_t i = 0; i < COUNT(sizes); i++)
                for (int round = 0; round < 3; round++) {
                        unsigned char *p = weir__calloc(1, sizes[i]), dirty = 0;

                        for (size_t k = 0; k < sizes[i]; k++)
                                dirty |= p[k];
                        ck_assert_uint_eq(dirty, 0);
                        memset(p, 0xff, sizes[i]);
                        weir__free(p);
                }
        ck_assert_ptr_null(weir__calloc(SIZE_MAX / 2, 3));
        ck_assert_int_eq(weir__os_errno_get(), ENOMEM);
}

PLAIN_TEST(realloc_keeps_the_content)
{
        static const size_t sizes[] = { 1, 10, 100, 90, 1000, 60000, 70000, 65536, 500000, 100000,
                                        8000000, 400, 3 };
        unsigned char      *p = NULL;
        size_t              have = 0, wrong = 0;

        for (int round = 0; round < 3; round++)
                for (size_t i = 0; i < COUNT(sizes); i++) {
                        p = weir__realloc(p, sizes[i]);
                        ck_assert_ptr_nonnull(p);
                        for (size_t k = 0; k < MIN(have, sizes[i]); k++)
                                wrong += p[k] != (unsigned char)(k * 31);
                        ck_assert_uint_eq(wrong, 0);
                        for (size_t k = 0; k < sizes[i]; k++)
                                p[k] = (unsigned char)(k * 31);
                        have = sizes[i];
                }
        weir__mem_check();
        ck_assert_ptr_null(weir__realloc(p, 0));        /* freed */
        weir__mem_check();
}

PLAIN_TEST(a_large_block_grows_and_shrinks_in_place_when_there_is_room)
{
        char *p = weir__malloc(100 << 10), *q;

        q = weir__realloc(p, 10 << 20);
        ck_assert_ptr_eq(weir__realloc(q, 20 << 20), q);
        ck_assert_ptr_eq(weir__realloc(q, 1 << 20), q);
        weir__mem_check();
        weir__free(q);
}

/* A buffer that doubles beside other allocations, which keep it from growing in place: when it
 * moves, its two places must not both be in memory. A database that sorted 200 MiB so held 330. */
PLAIN_TEST_WITH(a_large_block_that_moves_is_not_in_memory_twice, .timeout = 60)
{
        enum { MIB = 1 << 20, FIRST = 8 * MIB, LAST = 256 * MIB };
        size_t    before = weir__os_resident(), most = 0;
        uint64_t *p = weir__malloc(FIRST);
        unsigned  moves = 0;

        memset(p, 1, FIRST);
        for (size_t size = FIRST; size < LAST; size *= 2) {
                void     *between[256];
                uint64_t *q;

                for (int i = 0; i < 256; i++)
                        between[i] = weir__malloc(MIB);
                p[0] = p[size / 8 - 1] = p[size / 16] = size;
                q = weir__realloc(p, size * 2);
                ck_assert_ptr_nonnull(q);
                moves += p != q;
                p = q;
                most = MAX(most, weir__os_resident() - before - size);
                ck_assert_uint_eq(p[0], size);
                ck_assert_uint_eq(p[size / 16], size);
                ck_assert_uint_eq(p[size / 8 - 1], size);
                ck_assert_uint_eq(p[1], UINT64_C(0x0101010101010101));
                memset((char *)p + size, 1, size);
                for (int i = 0; i < 256; i++)
                        weir__free(between[i]);
                weir__mem_check();
        }
        ck_assert_uint_ge(moves, 2);
        if (!WEIR_TSAN && !WEIR_ASAN)                   /* their shadows are resident too */
                ck_assert_uint_le(most, 16 * MIB);
        weir__free(p);
        weir__mem_check();
}

/* Blocks whose alignment is that of a line share none: two threads that count in neighbours do not
 * slow each other down (bench malloc, isolate). */
PLAIN_TEST(blocks_aligned_to_a_line_share_none)
{
        enum { N = 200 };
        char *p[N];

        for (size_t size = 1; size <= 200; size++) {
                for (int i = 0; i < N; i++) {
                        p[i] = weir__memalign(64, size);
                        ck_assert_uint_eq((uintptr_t)p[i] % 64, 0);
                        ck_assert_uint_eq(weir__malloc_usable_size(p[i]) % 64, 0);
                }
                for (int i = 0; i < N; i++)
                        weir__free(p[i]);
        }
}

PLAIN_TEST(alignment_up_to_two_mebibytes_and_beyond)
{
        for (size_t align = 16; align <= 8 << 20; align *= 2)
                for (size_t size = 1; size < 100000; size = size * 7 + 1) {
                        char *p = weir__memalign(align, size), *q = weir__memalign(align, size);

                        ck_assert_uint_eq((uintptr_t)p % align, 0);
                        ck_assert_uint_eq((uintptr_t)q % align, 0);
                        memset(p, 1, size);
                        memset(q, 2, size);
                        ck_assert_int_eq(p[size - 1], 1);
                        weir__free(p);
                        weir__free(q);
                }
        weir__mem_check();
}

PLAIN_TEST(what_cannot_be_had_is_null_and_enomem)
{
        static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 100, PTRDIFF_MAX,
                                        (size_t)PTRDIFF_MAX + 1, (size_t)1 << 50 };
        char *p = weir__malloc(10);

        for (size_t i = 0; i < COUNT(sizes); i++) {
                weir__os_errno_set(0);
                ck_assert_ptr_null(weir__malloc(sizes[i]));
                ck_assert_int_eq(weir__os_errno_get(), ENOMEM);
                ck_assert_ptr_null(weir__memalign(4096, sizes[i]));
                ck_assert_ptr_null(weir__realloc(p, sizes[i]));
        }
        weir__free(p);
        weir__free(NULL);
        weir__mem_check();
}

PLAIN_TEST(nothing_is_a_block_of_its_own)
{
        void *p = weir__malloc(0), *q = weir__malloc(0);

        ck_assert_ptr_nonnull(p);
        ck_assert_ptr_ne(p, q);
        weir__free(p);
        weir__free(q);
}

PLAIN_TEST_WITH(a_million_blocks_of_a_kibibyte_live_at_once, .timeout = 60)
{
        enum { BLOCKS = 1000000 / WEIR_PATIENCE };
        char **p = weir__malloc(BLOCKS * sizeof *p);
        int    wrong = 0;

        for (int i = 0; i < BLOCKS; i++)
                *(p[i] = weir__malloc(1024)) = (char)i;
        weir__mem_check();
        for (int i = 0; i < BLOCKS; i++) {
                wrong += *p[i] != (char)i;
                weir__free(p[i]);
        }
        ck_assert_int_eq(wrong, 0);
        weir__free(p);
        weir__mem_check();
}

/* ---- threads ---- */

static void *allocate_and_end(void *arg)
{
        void **ret = arg;

        for (int i = 0; i < 100; i++)
                ret[i] = weir__malloc(16 + (size_t)i * 8);
        return NULL;
}

PLAIN_TEST(a_block_outlives_its_thread_and_another_one_frees_it)
{
        weir_mem_stats before, after;

        weir__free(weir__malloc(1));
        weir_mem_read_exact(&before);
        for (int round = 0; round < 50; round++) {
                void     *p[100];
                pthread_t t;

                pthread_create(&t, NULL, allocate_and_end, p);
                pthread_join(t, NULL);
                for (int i = 0; i < 100; i++) {
                        memset(p[i], 1, 16 + (size_t)i * 8);
                        weir__free(p[i]);
                }
        }
        weir__mem_check();
        weir_mem_read_exact(&after);
        ck_assert_uint_ge(after.mallocs - before.mallocs, 5000);
        ck_assert_uint_ge(after.frees - before.frees, 5000);
        ck_assert_uint_le(after.heap_in_use, before.heap_in_use + (8 << 20));
}

PLAIN_TEST(the_caches_of_ended_threads_are_used_again)
{
        uint64_t  before;
        pthread_t t;
        void     *p[100];

        for (int i = 0; i < 2; i++) {
                pthread_create(&t, NULL, allocate_and_end, p);
                pthread_join(t, NULL);
        }
        before = weir__fixed_bytes();
        for (int i = 0; i < 300; i++) {
                pthread_create(&t, NULL, allocate_and_end, p);
                pthread_join(t, NULL);
        }
        ck_assert_uint_le(weir__fixed_bytes(), before + (1 << 20));
}

static pthread_key_t late;

static void allocate_late(void *arg)
{
        weir__free(arg);
        weir__free(weir__malloc(100));
}

static void *end_with_a_key(void *arg)
{
        pthread_setspecific(late, weir__malloc(50));
        return arg;
}

PLAIN_TEST(a_destructor_of_thread_data_may_allocate)
{
        pthread_t t;

        pthread_key_create(&late, allocate_late);
        for (int i = 0; i < 20; i++) {
                pthread_create(&t, NULL, end_with_a_key, NULL);
                pthread_join(t, NULL);
        }
        weir__mem_check();
}

/* ---- fork ---- */

static volatile bool stop_churning;

static void *churn(void *arg)
{
        uint64_t seed = (uintptr_t)arg;

        while (!load_relaxed(&stop_churning)) {
                void *p[64];

                for (int i = 0; i < 64; i++)
                        p[i] = weir__malloc(weir__rand_below(&seed, 40000));
                for (int i = 0; i < 64; i++)
                        weir__free(p[i]);
        }
        return NULL;
}

/* Full bins give half of what they hold, over and over. */
static void *spill(void *arg)
{
        enum { N = 4096 };
        void *p[N];

        (void)arg;
        while (!load_relaxed(&stop_churning)) {
                for (int i = 0; i < N; i++)
                        p[i] = weir__malloc(16);
                for (int i = 0; i < N; i++)
                        weir__free(p[i]);
        }
        return NULL;
}

static void allocate_in_handler(void)
{
        void *p[600];

        for (int i = 0; i < 600; i++)
                p[i] = weir__malloc(3000);
        for (int i = 0; i < 600; i++)
                weir__free(p[i]);
}

/* In a child, where all threads but this one stand still: no object is in the caches twice, or in a
 * cache and free. A spill that had moved its pointers down and not its end yet once left some. */
static void verify_caches(void)
{
        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                for (unsigned class = 1; class < CLASSES; class++)
                        for (void **at = c->bin[class].base; at < c->bin[class].top; at++) {
                                struct span *s = weir__span_of((uintptr_t)*at);
                                uint32_t     i;

                                if (!s || s->class != class)
                                        _exit(8);
                                i = span_index(s, (uintptr_t)*at);
                                if (span_free_bits(s)[i / 64] >> (i % 64) & 1)
                                        _exit(9);
                                /* Nobody else uses the marks of malloc's spans. */
                                if (span_mark_bits(s)[i / 64] >> (i % 64) & 1)
                                        _exit(10);
                                span_mark_bits(s)[i / 64] |= UINT64_C(1) << (i % 64);
                        }
}

PLAIN_TEST_WITH(a_child_of_fork_finds_no_object_in_two_places, .timeout = 60)
{
        pthread_t t[2];

        if (WEIR_TSAN)
                test_skip("TSan does not support fork with threads");
        for (uintptr_t i = 0; i < 2; i++)
                pthread_create(&t[i], NULL, spill, NULL);
        for (int round = 0; round < 300; round++) {
                pid_t pid = fork();
                int   status;

                ck_assert_int_ge(pid, 0);
                if (!pid) {
                        alarm(20);
                        verify_caches();
                        _exit(7);
                }
                ck_assert_int_eq(waitpid(pid, &status, 0), pid);
                ck_assert_int_eq(WEXITSTATUS(status), 7);
        }
        store_relaxed(&stop_churning, true);
        for (int i = 0; i < 2; i++)
                pthread_join(t[i], NULL);
}

PLAIN_TEST_WITH(a_child_of_fork_allocates_while_others_did, .timeout = 60)
{
        pthread_t t[2];

        if (WEIR_TSAN)
                test_skip("TSan does not support fork with threads");
        for (uintptr_t i = 0; i < 2; i++)
                pthread_create(&t[i], NULL, churn, (void *)(i + 1));
        pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler);
        for (int round = 0; round < 50; round++) {
                pid_t pid = fork();
                int   status;

                ck_assert_int_ge(pid, 0);
                if (!pid) {
                        alarm(20);
                        allocate_in_handler();
                        weir__mem_check();
                        _exit(7);
                }
                ck_assert_int_eq(waitpid(pid, &status, 0), pid);
                ck_assert_int_eq(WEXITSTATUS(status), 7);
        }
        store_relaxed(&stop_churning, true);
        for (int i = 0; i < 2; i++)
                pthread_join(t[i], NULL);
        weir__mem_check();
}

/* ---- interrupted ---- */

static volatile int hits, inside;

static void interrupted(int sig, siginfo_t *info, void *context)
{
        struct regs r;

        (void)sig;
        (void)info;
        weir__arch_signal_regs(context, &r);
        hits++;
        inside += weir__mem_interrupted((const void *)(uintptr_t)r.r[ARCH_PC]);
}

/* A signal that falls into the allocator is told from one that does not: nearly all of them do
 * here, none in the second half. */
PLAIN_TEST(a_handler_can_tell_that_it_interrupted_the_allocator)
{
        struct sigaction  old;
        struct itimerspec each = { { 0, 200000 }, { 0, 200000 } };
        struct sigevent   event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
        int64_t           end;
        timer_t           timer;
        int               first;

        if (WEIR_TSAN)
                test_skip("TSan delivers signals where it likes");
        ck_assert_int_eq(weir__os_signal_install(SIGUSR1, interrupted, &old), 0);
        timer_create(CLOCK_MONOTONIC, &event, &timer);
        timer_settime(timer, 0, &each, NULL);
        end = weir__os_now() + 300 * 1000 * 1000;
        while (weir__os_now() < end)
                for (int i = 0; i < 10000; i++)
                        weir__free(weir__malloc(64));
        first = inside;
        ck_assert_int_gt(hits, 10);
        ck_assert_int_gt(first, hits / 20);
        inside = hits = 0;
        while (hits < 100)
                ;
        ck_assert_int_eq(inside, 0);
        timer_delete(timer);
}
