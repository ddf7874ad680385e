/* The hunt for lost wake-ups: goroutines hand single tokens to each other over unbuffered channels,
 * and threads that are not the runtime's hand more in with weir_chan_try_send, each waiting for its
 * answer before it goes on. One wake-up that is lost stops a ring or a thread for good; the program
 * then never ends its round, and SIGQUIT shows who waits. */
#include "stress.h"
#include <pthread.h>
#include <sched.h>

enum { RINGS = 4, MEMBERS = 5, THREADS = 3, MESSAGES = 400, LAPS = 150 };

struct foreign {
        weir_chan *in;
        uint32_t   answered;
        uint64_t   rand;
        bool       done;
};

weir_task(member, my, { weir_chan *in, *out; bool first; int laps; })
{
        int v = 0;

        if (my->first)
                weir_send(my->out, &v);
        for (int i = 0; i < my->laps; i++) {
                must(weir_recv(my->in, &v));
                must(v == (my->first ? i * MEMBERS + MEMBERS - 1 : v));
                v++;
                if (!my->first || i < my->laps - 1)
                        weir_send(my->out, &v);
        }
}

weir_task(answer, my, { struct foreign *f; })
{
        int v, expected = 0;

        while (weir_recv(my->f->in, &v) && v >= 0) {
                must(v == expected);
                expected++;
                __atomic_store_n(&my->f->answered, (uint32_t)expected, __ATOMIC_RELEASE);
        }
        must(expected == MESSAGES);
}

static void hand_in(struct foreign *f, int v)
{
        while (!weir_chan_try_send(f->in, &v, sizeof v))
                sched_yield();
}

/* A thread that weir knows nothing about. */
static void *feed(void *arg)
{
        struct foreign *f = arg;

        for (int i = 0; i < MESSAGES; i++) {
                hand_in(f, i);
                while (__atomic_load_n(&f->answered, __ATOMIC_ACQUIRE) != (uint32_t)i + 1)
                        sched_yield();
                if (stress_below(&f->rand, 32) == 0)    /* long enough for all to fall asleep */
                        nanosleep(&(struct timespec){ .tv_nsec = 60000 }, NULL);
        }
        hand_in(f, -1);
        __atomic_store_n(&f->done, true, __ATOMIC_RELEASE);
        return NULL;
}

static void start_ring(weir_wg *wg)
{
        weir_chan *c[MEMBERS];
        int        laps = 1 + (int)stress_below(&stress_state, LAPS);

        for (int i = 0; i < MEMBERS; i++)
                c[i] = weir_chan_make(int, 0);
        for (int i = 0; i < MEMBERS; i++)
                weir_wg_go(wg, member, .in = c[i], .out = c[(i + 1) % MEMBERS], .first = i == 0,
                           .laps = laps);
}

static void round_of(int rings)
{
        struct foreign f[THREADS];
        pthread_t      t[THREADS];
        weir_wg        wg = { 0 };

        for (int i = 0; i < THREADS; i++) {
                f[i] = (struct foreign){ .in = weir_chan_make(int, i % 2),
                                         .rand = stress_rand(&stress_state) };
                weir_wg_go(&wg, answer, .f = &f[i]);
        }
        for (int i = 0; i < rings; i++)
                start_ring(&wg);
        for (int i = 0; i < THREADS; i++)
                must(pthread_create(&t[i], NULL, feed, &f[i]) == 0);
        weir_wg_wait(&wg);
        for (int i = 0; i < THREADS; i++)
                pthread_join(t[i], NULL);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of((int)stress_below(&stress_state, RINGS + 1));
        return 0;
}
