/* Once.
 *
 * What    One word: 0 not yet, 1 running, a list of waiting goroutines with bit 0 set while
 *         running, 2 done. Where copies are looked for it is 4 when done, which the inlined case
 *         does not know: then each use comes by here.
 * States  not yet -> running   the first caller      running -> done   the same, by one exchange
 *         that also takes the list; it never touches the word again, so the memory may go then.
 * Order   The exchange to done pairs with the acquire load of the fast path, and with the compare-
 *         exchange by which a waiter's record came into the word.
 * Cost    Done: a load, inlined in the caller by weir/sync.h.
 * Not     A cleanup handler to mark it done when the function panics: it would make every program
 *         link the compiler's unwinder. The panic, or weir_go_exit, is held up and goes on after.
 *         */
#include "sync/sync.h"
#include <weir/go.h>

/* The header inlines the case that it is done around the function defined here. */
#undef weir_once_do

enum { NOT_YET, RUNNING, DONE, DONE_CHECKED = 4 };      /* weir/sync.h knows DONE */

struct once {
        uint64_t word;                  /* atomic */
        uint32_t place;                 /* for check_place */
};

_Static_assert(sizeof(struct once) <= sizeof(weir_once), "weir_once is too small");

struct record {
        uintptr_t next;                 /* the word as it was found */
        struct g *g;
};

struct call {
        void (*fn)(void *);
        void *arg;
};

static void run_call(void *p)
{
        struct call *c = p;

        c->fn(c->arg);
}

static inline bool is_done(uint64_t word)
{
        return word == DONE || word == DONE_CHECKED;
}

static void finish(uint64_t *word)
{
        uintptr_t w = exchange_seq(word, checks_places() ? DONE_CHECKED : DONE);

        while (w != RUNNING) {
                struct record *r = (struct record *)(w & ~(uintptr_t)1);

                w = r->next;
                weir__sched_ready(r->g);
        }
}

static void run(uint64_t *word, void (*fn)(void *arg), void *arg)
{
        struct call     c = { fn, arg };
        weir_panic_info info;
        int             held;

        held = weir__panic_hold(run_call, &c, &info);
        finish(word);
        if (held)
                weir__panic_again(held, &info);
}

static slowpath void wait(uint64_t *word, uint64_t old, struct g *g)
{
        struct record r = { .g = g };

        weir__sched_park_begin(g, WHY_ONCE, word);
        weir__sched_own(g, &r, sizeof r);
        do {
                if (is_done(old)) {
                        weir__sched_park_cancel(g);
                        return;
                }
                r.next = old;
        } while (!cas_seq(word, &old, (uintptr_t)&r | 1));
        weir__sched_park(g);
}

void weir_once_do(weir_once *o, void (*fn)(void *arg), void *arg)
{
        struct once *once = (struct once *)(void *)o;
        uint64_t    *word = &once->word, old = load_acquire(word);
        struct g    *g;

        if (likely(old == DONE))
                return;
        check_place(once, &once->place, "once");
        if (old == DONE_CHECKED)
                return;
        g = weir__sched_need_g("weir_once_do");
        if (!fn)
                weir__panic("weir_once_do: the function is NULL");
        old = NOT_YET;
        if (cas_seq(word, &old, RUNNING))
                run(word, fn, arg);
        else
                wait(word, old, g);
        keep_frame();
}

/* ---- with a value ---- */

struct value_call {
        weir_once_value *o;
        void          *(*fn)(void *);
        void            *arg;
};

static void find_value(void *p)
{
        struct value_call *c = p;

        c->o->value_ = c->fn(c->arg);
        c->o->known_ = 1;
}

void *weir_once_get(weir_once_value *o, void *(*fn)(void *arg), void *arg)
{
        if (unlikely(load_acquire(&o->once_.state_[0]) != DONE)) {
                struct value_call c = { o, fn, arg };

                if (!fn)
                        weir__panic("weir_once_get: the function is NULL");
                weir_once_do(&o->once_, find_value, &c);
        }
        if (unlikely(!o->known_))
                weir__panic("weir_once_get: the function panicked when it was called");
        return o->value_;
}
