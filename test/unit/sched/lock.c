/* Goroutines that stay on their thread, and threads that become goroutines. */
/* timeout: 60 */
#include "check.h"
#include "sched/state.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static __thread int mark;

weir_task(locked_one, my, { int n; weir_chan *in, *out; })
{
        int tid, v;

        weir_thread_lock();
        weir_thread_lock();
        weir_thread_unlock();
        tid = weir__os_thread_id();
        mark = my->n;
        while (weir_recv(my->in, &v)) {
                ck_assert_int_eq(weir__os_thread_id(), tid);
                ck_assert_int_eq(mark, my->n);
                weir_yield();
                weir_sleep(10000);
                ck_assert_int_eq(weir__os_thread_id(), tid);
                v += my->n;
                weir_send(my->out, &v);
                ck_assert_int_eq(weir__os_thread_id(), tid);
                ck_assert_int_eq(mark, my->n);
        }
        mark = 0;
        weir_thread_unlock();
        weir_chan_close(my->out);
}

static void ring(int n, int rounds)
{
        weir_chan *c[17];

        for (int i = 0; i <= n; i++)
                c[i] = weir_chan_make(int, 0);
        for (int i = 0; i < n; i++)
                weir_go(locked_one, .n = i + 1, .in = c[i], .out = c[i + 1]);
        for (int v, i = 0; i < rounds; i++) {
                v = i;
                weir_send(c[0], &v);
                ck_assert(weir_recv(c[n], &v));
                ck_assert_int_eq(v, i + n * (n + 1) / 2);
        }
        weir_chan_close(c[0]);
        ck_assert(!weir_recv(c[n], &(int){ 0 }));
}

WEIR_TEST_WITH(a_locked_goroutine_stays_on_one_processor, .procs = 1, .timeout = 20)
{
        ring(5, 100);
}

WEIR_TEST_WITH(a_locked_goroutine_stays_on_four, .procs = 4, .timeout = 20)
{
        ring(16, 50);
}

static void read_tid(void *tid)
{
        *(int *)tid = weir__os_thread_id();
        usleep(1000);
}

weir_task(spin_and_stop, my, { weir_wg *wg; bool *stop; })
{
        while (!load_relaxed(my->stop))
                weir_yield();
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(a_locked_root_stays_too, .procs = 2, .timeout = 20)
{
        weir_wg wg = { 0 };
        bool    stop = false;
        int     tid, there;

        weir_thread_lock();
        tid = weir__os_thread_id();
        weir_wg_add(&wg, 3);
        for (int i = 0; i < 3; i++)
                weir_go(spin_and_stop, .wg = &wg, .stop = &stop);
        for (int i = 0; i < 50; i++) {
                weir_yield();
                weir_blocking(read_tid, &there);
                ck_assert_int_eq(there, tid);
                ck_assert_int_eq(weir__os_thread_id(), tid);
        }
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
        ck_assert_int_eq(weir__os_thread_id(), tid);
        weir_thread_unlock();
}

weir_task(ends_locked, my, { int *tid; weir_wg *wg; })
{
        *my->tid = weir__os_thread_id();
        if (my->wg)
                weir_wg_done(my->wg);
}

static bool alive(int tid)
{
        return weir__os_thread_signal(tid, 0) == 0;
}

WEIR_TEST_WITH(who_ends_locked_takes_the_thread_along, .procs = 2, .timeout = 20)
{
        weir_go_options opt = { .locked_thread = true, .name = "locked" };
        int             tid[40];
        weir_wg         wg = { 0 };

        weir_wg_add(&wg, 40);
        for (int i = 0; i < 40; i++)
                weir_go_with(&opt, ends_locked, .tid = &tid[i], .wg = &wg);
        weir_wg_wait(&wg);
        for (int i = 0; i < 40; i++)
                while (alive(tid[i]))
                        weir_sleep(100000);
        ring(3, 10);
}

static void unlock(void *arg)
{
        (void)arg;
        weir_thread_unlock();
}

WEIR_TEST(unlock_without_lock_panics)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(unlock, NULL, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "weir_thread_lock"));
}

/* ---- threads of the program ---- */

static void join_blocking(void *t)
{
        pthread_join(*(pthread_t *)t, NULL);
}

/* Not holding the processor: the thread may need it, and under sanitizers nobody takes it away. */
static void join(pthread_t t)
{
        weir_blocking(join_blocking, &t);
}

struct visit {
        weir_chan *c;
        int        n, result;
        bool       detach;
};

static void *visit(void *arg)
{
        struct visit *v = arg;

        v->result = weir_thread_attach();
        if (v->result < 0)
                return NULL;
        ck_assert_uint_ne(weir_go_id(), 0);
        for (int i = 0; i < v->n; i++)
                weir_send(v->c, &i);
        if (v->detach) {
                weir_thread_detach();
                ck_assert_uint_eq(weir_go_id(), 0);
        }
        return NULL;
}

static void visits(int threads, int n, bool detach)
{
        struct visit v[8];
        pthread_t    t[8];
        weir_chan   *c = weir_chan_make(int, 0);
        size_t       before = weir_go_count();
        long         sum = 0;

        for (int i = 0; i < threads; i++) {
                v[i] = (struct visit){ .c = c, .n = n, .detach = detach };
                ck_assert_int_eq(pthread_create(&t[i], NULL, visit, &v[i]), 0);
        }
        for (int i = 0, got; i < threads * n; i++) {
                ck_assert(weir_recv(c, &got));
                sum += got;
        }
        for (int i = 0; i < threads; i++)
                join(t[i]);
        ck_assert_int_eq(sum, (long)threads * n * (n - 1) / 2);
        ck_assert_uint_eq(weir_go_count(), before);
}

WEIR_TEST_WITH(a_thread_attaches_sends_and_leaves, .procs = 1, .timeout = 20)
{
        for (int i = 0; i < 20; i++)
                visits(4, 50, true);
}

WEIR_TEST_WITH(a_thread_that_ends_attached_is_detached, .procs = 2, .timeout = 20)
{
        for (int i = 0; i < 20; i++)
                visits(8, 10, false);
}

static void *come_and_go(void *arg)
{
        for (int i = 0; i < *(int *)arg; i++) {
                ck_assert_int_eq(weir_thread_attach(), 0);
                ck_assert_int_eq(weir_thread_attach(), 0);      /* nests */
                weir_thread_detach();
                ck_assert_uint_ne(weir_go_id(), 0);
                weir_yield();
                weir_thread_detach();
                ck_assert_uint_eq(weir_go_id(), 0);
        }
        return NULL;
}

WEIR_TEST_WITH(attaching_a_hundred_thousand_times_leaks_nothing, .procs = 2, .timeout = 40)
{
        pthread_t t;
        int       n = WEIR_TSAN || WEIR_ASAN ? 2000 : 100000;
        uint32_t  threads = load_relaxed(&sched.nthreads);

        ck_assert_int_eq(pthread_create(&t, NULL, come_and_go, &n), 0);
        join(t);
        ck_assert_uint_eq(weir_go_count(), 1);
        ck_assert_uint_le(load_relaxed(&sched.nthreads), threads + 4);
}

WEIR_TEST(a_goroutine_cannot_attach)
{
        ck_assert_int_eq(weir_thread_attach(), -EALREADY);
}

PLAIN_TEST(before_the_run_nobody_attaches)
{
        ck_assert_int_eq(weir_thread_attach(), -ESRCH);
}

static void *detach_alone(void *arg)
{
        (void)arg;
        ck_assert_int_eq(weir_thread_attach(), 0);
        weir_thread_lock();
        weir_thread_unlock();
        *(int *)arg = weir_protect(unlock, NULL, NULL);         /* the attach itself stays */
        weir_thread_detach();
        return NULL;
}

WEIR_TEST(an_attached_thread_stays_locked)
{
        pthread_t t;
        int       r = 0;

        ck_assert_int_eq(pthread_create(&t, NULL, detach_alone, &r), 0);
        join(t);
        ck_assert_int_eq(r, WEIR_EPANIC);
}

WEIR_TEST_WITH(a_dump_shows_a_locked_one_that_waits, .procs = 2, .timeout = 20)
{
        weir_chan *in = weir_chan_make(int, 0), *out = weir_chan_make(int, 1);
        char      *text;
        size_t     n;

        if (WEIR_TSAN)
                test_skip("it delivers no signal to a thread that sleeps");
        weir_go(locked_one, .n = 1, .in = in, .out = out);
        for (bool found = false; !found;) {
                FILE *f = open_memstream(&text, &n);

                weir_sleep(100000);
                weir_dump(f);
                fclose(f);
                found = strstr(text, "chan receive") && strstr(text, "locked_one+");
                free(text);
        }
        weir_chan_close(in);
        ck_assert(!weir_recv(out, &(int){ 0 }));
}

static uint32_t attached, let_go;       /* atomic */

static void *attach_and_wait(void *arg)
{
        int v;

        ck_assert_int_eq(weir_thread_attach(), 0);
        store_release(&attached, 1);
        weir_recv(*(weir_chan **)arg, &v);
        weir_thread_detach();
        store_release(&attached, 2);
        while (!load_acquire(&let_go))
                usleep(100);
        return NULL;
}

static bool dump_says(const char *what)
{
        char  *text = NULL;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);
        bool   found;

        weir_dump(f);
        fclose(f);
        found = strstr(text, what);
        free(text);
        return found;
}

WEIR_TEST_WITH(a_dump_shows_attached_threads, .procs = 2, .timeout = 20)
{
        weir_chan *c = weir_chan_make(int, 0);
        pthread_t  t;
        int        v = 0;

        if (WEIR_TSAN)
                test_skip("it delivers no signal to a thread that sleeps");
        ck_assert(!dump_says("a thread of the program, attached"));
        ck_assert_int_eq(pthread_create(&t, NULL, attach_and_wait, &c), 0);
        while (!dump_says("attach_and_wait+") || !dump_says("chan receive"))
                weir_sleep(1000000);
        ck_assert(dump_says("a thread of the program, attached"));
        weir_send(c, &v);
        while (load_acquire(&attached) != 2)
                weir_sleep(1000000);
        ck_assert(!dump_says("a thread of the program, attached"));
        store_release(&let_go, 1);
        join(t);
}
