/* Channels and timers go when nobody can name them any more, and not before. */
#include "check.h"
#include "gc/gc.h"
#include <stdlib.h>
#include <string.h>

/* Tables of these sanitizers hold copies of what the program holds, so not all that is dead
 * goes. */
enum { COPIES = WEIR_ASAN || WEIR_TSAN, MANY = 200 };

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 1);
        setenv("WEIR_GC", "off", 1);
}

typedef uintptr_t hidden;

static hidden made[MANY];

static noinline void collect(void)
{
        char volatile waste[4096];

        for (size_t i = 0; i < sizeof waste; i++)
                waste[i] = 0;
        weir_gc_run();
}

static noinline bool alive(hidden h)
{
        struct mem_object o;

        return weir__mem_find((void *)~h, &o) && o.kind != MEM_MANUAL && o.base == (void *)~h;
}

static noinline unsigned count_alive(void)
{
        unsigned n = 0;

        for (int i = 0; i < MANY; i++)
                n += alive(made[i]);
        return n;
}

static size_t  elem_size, capacity;
static int64_t timer_after;

static noinline hidden make_chan(void)
{
        return ~(hidden)weir_chan_new(elem_size, capacity);
}

static void nothing(void *arg)
{
        (void)arg;
}

static noinline hidden make_timer(void)
{
        return ~(hidden)weir_timer_start(timer_after, 0, nothing, NULL);
}

weir_task(maker, my, { hidden (*make)(void); weir_wg *wg; })
{
        for (int i = 0; i < MANY; i++)
                made[i] = my->make();
        weir_wg_done(my->wg);
}

static noinline void make(hidden (*how)(void))
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(maker, .make = how, .wg = &wg);
        weir_wg_wait(&wg);
}

WEIR_TEST(channels_that_nobody_can_name_go)
{
        static const size_t sizes[] = { 0, 1, 8, 24, 1000, 60000 };

        for (size_t i = 0; i < COUNT(sizes); i++)
                for (capacity = 0; capacity < 20; capacity += 19) {
                        elem_size = sizes[i];
                        make(make_chan);
                        for (int k = 0; k < MANY; k++)
                                ck_assert_uint_eq(~made[k] % CACHE_LINE, 0);
                        ck_assert_uint_eq(count_alive(), MANY);
                        collect();
                        ck_assert_uint_le(count_alive(), COPIES ? MANY : 5);
                }
}

weir_task(waits, my, { weir_chan *c; uint64_t *sum; weir_wg *wg; })
{
        uint64_t *v;

        while (weir_recv(my->c, &v))
                *my->sum += *v;
        weir_wg_done(my->wg);
}

/* What is in a buffer is kept by it, and the channel by who waits. */
WEIR_TEST_WITH(what_waits_in_a_buffer_is_kept_and_then_goes, .procs = 2)
{
        weir_chan *c = weir_chan_make(uint64_t *, MANY), *echo = weir_chan_make(uint64_t *, 0);
        uint64_t   sum = 0;
        weir_wg    wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(waits, .c = echo, .sum = &sum, .wg = &wg);
        for (int i = 0; i < MANY; i++) {
                uint64_t *v = weir_new_bytes(64);

                *v = (uint64_t)i;
                made[i] = ~(hidden)v;
                weir_send(c, &v);
        }
        collect();
        ck_assert_uint_eq(count_alive(), MANY);
        for (int i = 0; i < MANY; i++) {
                uint64_t *v;

                weir_recv(c, &v);
                weir_send(echo, &v);
                if (i % 50 == 0)
                        weir_gc_run();
        }
        weir_chan_close(echo);
        weir_wg_wait(&wg);
        ck_assert_uint_eq(sum, MANY * (MANY - 1) / 2);
        collect();
        ck_assert_uint_le(count_alive(), COPIES ? MANY : 5);
}

WEIR_TEST(a_plain_channel_keeps_nothing)
{
        weir_chan *c = weir_chan_make_plain(uint64_t *, 1), *d = weir_chan_make(uint64_t *, 1);
        uint64_t  *v = weir_new_bytes(64);

        if (COPIES)
                test_skip("the sanitizer may keep what is dead");
        ck_assert(weir_chan_try_send(c, &v, sizeof v) && weir_chan_try_send(d, &v, sizeof v));
        made[0] = ~(hidden)v;
        v = NULL;
        collect();
        ck_assert(alive(made[0]));
        ck_assert(weir_recv(d, &v));
        v = NULL;
        for (int i = 0; i < 3; i++)
                collect();
        ck_assert(!alive(made[0]));
        ck_assert_uint_eq(weir_chan_len(c), 1);
}

WEIR_TEST(an_armed_timer_stays_and_one_that_fired_or_was_stopped_goes)
{
        timer_after = 3600 * WEIR_SECOND;
        make(make_timer);
        collect();
        ck_assert_uint_eq(count_alive(), MANY);
        for (int i = 0; i < MANY; i++)
                ck_assert(weir_timer_stop((weir_timer *)~made[i]));
        collect();
        ck_assert_uint_le(count_alive(), COPIES ? MANY : 5);
        timer_after = 1;
        make(make_timer);
        weir_sleep(20 * WEIR_MILLISECOND);
        collect();
        ck_assert_uint_le(count_alive(), COPIES ? MANY : 5);
}
