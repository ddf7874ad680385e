/* The rwmutex (src/sync/rwmutex.c): a writer is alone, readers see what the last one wrote, and
 * nobody waits for a mutex that is free. */
#include "sync/sync.h"
#include "base/debug.h"
#include "fake.h"


static weir_rwmutex m;
static int          a, b;       /* m */
static int          refused;    /* its thread's */

static void make(void)
{
        fake_init();
        weir__debug.membarrier = 1;
        model_split(&m);
        for (int i = 0; i < MODEL_THREADS; i++)
                fake_p[i].id = (uint32_t)i & 3;
}

/* Whose writers have just been there. */
static void make_slow(void)
{
        make();
        m.state_[3] = UINT64_C(1000) << 32;        /* from when on FAST may be */
}

static void make_fast_one(void)
{
        make();
        m.state_[2] = 4;
}

/* The same, and each processor's places are known. */
static void make_fast_and_known(void)
{
        make();
        for (int i = 0; i < MODEL_THREADS; i++) {
                self()->p = &fake_p[i];
                weir_rwmutex_rlock(&m);
                weir_rwmutex_runlock(&m);
        }
        self()->p = &fake_p[0];
        must(m.state_[2] == 4);
}

static void write_it(void)
{
        weir_rwmutex_lock(&m);
        a++;
        b++;
        weir_rwmutex_unlock(&m);
}

static void read_it(void)
{
        weir_rwmutex_rlock(&m);
        must(a == b);
        weir_rwmutex_runlock(&m);
}

/* The first time a processor's places are used is another way. */
static void read_again(void)
{
        read_it();
        read_it();
}

/* Unlocks where another processor's place is. */
static void read_and_move(void)
{
        weir_rwmutex_rlock(&m);
        must(a == b);
        self()->p->id ^= 2;
        self()->p->readers = NULL;
        weir_rwmutex_runlock(&m);
}

static void try_write(void)
{
        if (weir_rwmutex_try_lock(&m)) {
                a++;
                b++;
                weir_rwmutex_unlock(&m);
        } else {
                refused++;
        }
}

static void make_written(void)
{
        make();
        weir_rwmutex_lock(&m);
}

static void finish_and_write(void)
{
        a++;
        b++;
        weir_rwmutex_unlock(&m);
        write_it();
}

static void is_free(unsigned writes)
{
        must(a == b && (unsigned)(a + refused) == writes);
        must(!(m.state_[2] & 3) && !m.state_[4] && !m.state_[5]);
        must(!(uint32_t)m.state_[3]);
}

static void wrote_once(void)
{
        is_free(1);
}

static void wrote_twice(void)
{
        is_free(2);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "rwmutex/reader and writer", .setup = make, .finish = wrote_once,
                  .bound = 4, .thread = { read_it, write_it },
                  .mutants = {
                          { "has_readers:load_acquire(&places[i][k])", MUTATE_FORCE, 0 },
                          { "has_readers:load_acquire(&places[i][k])", MUTATE_RELAX },
                          { "has_readers:load_seq(&procs)", MUTATE_FORCE, 0 },
                          { "weir_rwmutex_runlock:load_acquire(&m->state)", MUTATE_FORCE, 0 },
                          { "weir_rwmutex_runlock:store_release(place)", MUTATE_RELAX },
                          { "ask_writer:cas_seq(&m->state)", MUTATE_BLIND },
                          { "end_writing:cas_seq(&m->state)", MUTATE_BLIND } } },
                { .name = "rwmutex/slow reader and writer", .setup = make_slow,
                  .finish = wrote_once, .bound = 4, .thread = { read_again, write_it },
                  .mutants = {
                          { "try_read_slow:exchange_seq(place)", MUTATE_RELAX },
                          { "try_read_slow:load_seq(&m->state)", MUTATE_FORCE, 0 },
                          { "try_read_fast:exchange_seq(place)", MUTATE_RELAX },
                          { "try_read_fast:load_acquire(&m->state)", MUTATE_FORCE, 0 },
                          { "weir_rwmutex_runlock:exchange_seq(place)", MUTATE_RELAX },
                          { "begin_writing:cas_seq(&m->state)", MUTATE_RELAX } } },
                { .name = "rwmutex/fast readers", .setup = make_fast_and_known, .finish = wrote_once,
                  .bound = 3, .thread = { read_and_move, read_it, write_it },
                  .mutants = {
                          { "may_fence:load_relaxed(&can_fence)", MUTATE_FORCE, 0 },
                          { "try_read_fast:load_acquire(&m->state)", MUTATE_FORCE, 4 } } },
                { .name = "rwmutex/fast again", .setup = make_fast_one, .finish = wrote_twice,
                  .bound = 3, .thread = { read_it, write_it, write_it } },
                /* Who was let in from the line has no place. */
                { .name = "rwmutex/let in", .setup = make_written, .finish = wrote_twice,
                  .bound = 4, .thread = { finish_and_write, read_it },
                  .mutants = {
                          { "has_readers:load_seq(&m->extra)", MUTATE_FORCE, 0 },
                          { "admit:fetch_add_seq(&m->extra)", MUTATE_SKIP } } },
                { .name = "rwmutex/two writers", .setup = make, .finish = wrote_twice, .bound = 3,
                  .thread = { write_it, try_write, read_it } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
