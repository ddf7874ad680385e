/* Channels against a model of them: some goroutines are told what to do, one at a time and at random,
 * and after each step every goroutine is where the model says, with what it says. */
/* timeout: 120 */
#include "check.h"
#include "sched/state.h"

enum { WORKERS = 4, CHANS = 2, CASES = 2, STEPS = 10, CAP_MAX = 2 };
enum { TRACES = WEIR_PATIENCE > 1 ? 20000 : 1000000 };

/* ---- what a goroutine is told, and what came of it ---- */

enum what { IDLE, SEND, RECV, TRY_SEND, CLOSE, SELECT };

struct part {
        bool send;
        int  chan, value;
};

struct task {
        enum what   what;
        struct part part[CASES];
        int         parts;
        bool        other;              /* of a select: it has a default */
        bool        done;               /* of a select: it waits for the context, too */
};

struct result {
        bool over, panicked, ok;
        int  which, value;              /* the case; what was received */
};

static weir_chan    *chan[CHANS], *told[WORKERS];
static weir_ctx     *ctx;
static struct task  order[WORKERS];
static struct result got[WORKERS];

static void select_some(const struct task *o, struct result *r)
{
        weir_case k[CASES + 2];
        int       value[CASES], n = 0;
        bool      ok[CASES] = { false };

        for (; n < o->parts; n++) {
                weir_chan *c = chan[o->part[n].chan];

                value[n] = o->part[n].value;
                k[n] = o->part[n].send ? (weir_case)weir_on_send(c, &value[n])
                                       : (weir_case)weir_on_recv(c, &value[n], &ok[n]);
        }
        if (o->done)
                k[n++] = (weir_case)weir_on_done(ctx);
        if (o->other)
                k[n++] = (weir_case)weir_on_default();
        r->which = weir_select_n(k, (size_t)n);
        if (r->which < o->parts && !o->part[r->which].send) {
                r->value = value[r->which];
                r->ok = ok[r->which];
        }
}

static void act(void *number)
{
        const struct task *o = &order[*(int *)number];
        struct result      *r = &got[*(int *)number];
        weir_chan          *c = chan[o->part[0].chan];

        switch (o->what) {
        case SEND:
                weir_send(c, &o->part[0].value);
                break;
        case RECV:
                r->ok = weir_recv(c, &r->value);
                break;
        case TRY_SEND:
                r->ok = weir_chan_try_send(c, &o->part[0].value, sizeof(int));
                break;
        case CLOSE:
                weir_chan_close(c);
                break;
        case SELECT:
                select_some(o, r);
                break;
        case IDLE:
                break;
        }
}

weir_task(worker, my, { int number; weir_wg *wg; })
{
        while (weir_chan_recv(told[my->number], NULL, 0)) {
                got[my->number].panicked = weir_protect(act, &my->number, NULL) != 0;
                got[my->number].over = true;
        }
        weir_wg_done(my->wg);
}

/* Until nobody can go on but the caller, on the one processor. */
static void settle(void)
{
        while (!weir__runq_empty(self()->p) || load_relaxed(&sched.nglobal))
                weir_yield();
}

/* ---- the model ---- */

static struct model_chan {
        int  cap, len, buf[CAP_MAX];
        bool closed;
        int  nwaiting;
        struct { int number, which; struct part part; } waiting[WORKERS * CASES];
} model[CHANS];

static bool          ended;             /* the context */
static int           waits_for_end[WORKERS];    /* the case, or -1 */
static struct result want[WORKERS];

static void stop_waiting(int number)
{
        waits_for_end[number] = -1;
        for (int c = 0; c < CHANS; c++) {
                int n = 0;

                for (int i = 0; i < model[c].nwaiting; i++)
                        if (model[c].waiting[i].number != number)
                                model[c].waiting[n++] = model[c].waiting[i];
                model[c].nwaiting = n;
        }
}

static void finish(int number, struct result r)
{
        r.over = true;
        want[number] = r;
        stop_waiting(number);
}

/* The first that waits to send, or to receive; -1: nobody. */
static int first(const struct model_chan *m, bool send)
{
        for (int i = 0; i < m->nwaiting; i++)
                if (m->waiting[i].part.send == send)
                        return i;
        return -1;
}

static bool ready(const struct part *p)
{
        const struct model_chan *m = &model[p->chan];

        if (m->closed)
                return true;
        return p->send ? m->len < m->cap || first(m, false) >= 0 : m->len || first(m, true) >= 0;
}

static void model_send(int number, int which, const struct part *p)
{
        struct model_chan *m = &model[p->chan];
        int                i = first(m, false);

        if (m->closed) {
                finish(number, (struct result){ .panicked = true });
                return;
        }
        if (i >= 0)
                finish(m->waiting[i].number, (struct result){ .which = m->waiting[i].which,
                                                              .value = p->value, .ok = true });
        else
                m->buf[m->len++] = p->value;
        finish(number, (struct result){ .which = which });
}

static void model_recv(int number, int which, const struct part *p)
{
        struct model_chan *m = &model[p->chan];
        struct result      r = { .which = which, .ok = m->len || !m->closed };
        int                i = first(m, true);

        if (m->len) {
                r.value = m->buf[0];
                m->len--;
                for (int k = 0; k < m->len; k++)
                        m->buf[k] = m->buf[k + 1];
                if (i >= 0)
                        m->buf[m->len++] = m->waiting[i].part.value;
        } else if (i >= 0) {
                r.value = m->waiting[i].part.value;
        }
        if (i >= 0)
                finish(m->waiting[i].number, (struct result){ .which = m->waiting[i].which });
        finish(number, r);
}

static void model_part(int number, int which, const struct part *p)
{
        (p->send ? model_send : model_recv)(number, which, p);
}

static void model_close(int c)
{
        struct model_chan *m = &model[c];

        m->closed = true;
        while (m->nwaiting)
                finish(m->waiting[0].number,
                       (struct result){ .which = m->waiting[0].which,
                                        .panicked = m->waiting[0].part.send });
}

static void model_end(void)
{
        ended = true;
        for (int i = 0; i < WORKERS; i++)
                if (waits_for_end[i] >= 0)
                        finish(i, (struct result){ .which = waits_for_end[i] });
}

/* The choice among those that are ready is the select's own: the model follows it. */
static bool model_choice(int number, const struct task *o)
{
        int which = got[number].which;

        if (!got[number].over)
                return false;
        if (got[number].panicked)
                for (which = 0; which < o->parts; which++)
                        if (o->part[which].send && model[o->part[which].chan].closed)
                                break;
        if (which < o->parts && ready(&o->part[which])) {
                model_part(number, which, &o->part[which]);
                return true;
        }
        if (which == o->parts && o->done && ended) {
                finish(number, (struct result){ .which = which });
                return true;
        }
        return false;
}

static void model_wait(int number, const struct task *o)
{
        for (int i = 0; i < o->parts; i++) {
                struct model_chan *m = &model[o->part[i].chan];

                m->waiting[m->nwaiting].number = number;
                m->waiting[m->nwaiting].which = i;
                m->waiting[m->nwaiting++].part = o->part[i];
        }
        if (o->done)
                waits_for_end[number] = o->parts;
}

static void model_order(int number, const struct task *o)
{
        bool any = o->done && ended;

        want[number] = (struct result){ 0 };
        for (int i = 0; i < o->parts; i++)
                any |= ready(&o->part[i]);
        if (o->what == CLOSE) {
                bool twice = model[o->part[0].chan].closed;

                if (!twice)
                        model_close(o->part[0].chan);
                finish(number, (struct result){ .panicked = twice });
        } else if (o->what == TRY_SEND) {
                finish(number, (struct result){ 0 });
                if (any) {
                        model_send(number, 0, &o->part[0]);
                        want[number].ok = !want[number].panicked;
                }
        } else if (!any && o->other) {
                finish(number, (struct result){ .which = o->parts + o->done });
        } else if (!any) {
                model_wait(number, o);
        } else if (o->what != SELECT) {
                model_part(number, 0, &o->part[0]);
        } else {
                want[number].over = true;       /* some way or other */
                (void)model_choice(number, o);
        }
}

/* ---- traces ---- */

static uint64_t state;

static int below(unsigned n)
{
        return (int)weir__rand_below(&state, n);
}

static void draw_part(struct part *p)
{
        static int value;

        *p = (struct part){ .send = below(2), .chan = below(CHANS), .value = ++value };
}

static void draw(struct task *o)
{
        static const enum what often[] = { SEND, SEND, SEND, RECV, RECV, RECV, TRY_SEND,
                                           SELECT, SELECT, SELECT, SELECT, CLOSE };

        *o = (struct task){ .what = often[below(sizeof often / sizeof *often)], .parts = 1 };
        draw_part(&o->part[0]);
        o->part[0].send = o->what == SEND || o->what == TRY_SEND ||
                          (o->what == SELECT && o->part[0].send);
        if (o->what != SELECT)
                return;
        if ((o->parts = 1 + below(CASES)) == CASES) {
                draw_part(&o->part[1]);         /* of one channel, which goes first is not said */
                o->part[1].chan = !o->part[0].chan;
        }
        o->done = below(3) == 0;
        o->other = below(4) == 0;
}

static void compare(int trace, int step)
{
        for (int i = 0; i < WORKERS; i++) {
                const struct result *a = &got[i], *b = &want[i];

                if (a->over != b->over || a->panicked != b->panicked ||
                    (!b->panicked && (a->which != b->which || a->value != b->value || a->ok != b->ok)))
                        ck_abort_msg("trace %d, step %d, goroutine %d: over %d panicked %d case %d "
                                     "value %d ok %d, and not %d %d %d %d %d",
                                     trace, step, i, a->over, a->panicked, a->which, a->value, a->ok,
                                     b->over, b->panicked, b->which, b->value, b->ok);
        }
        for (int c = 0; c < CHANS; c++)
                must((int)weir_chan_len(chan[c]) == model[c].len &&
                     weir_chan_closed(chan[c]) == model[c].closed);
}

static void step(void)
{
        int number = below(WORKERS);

        if (!want[number].over) {               /* it waits: the context ends, perhaps */
                if (!ended && below(4) == 0) {
                        model_end();
                        weir_ctx_cancel(ctx);
                        settle();
                }
                return;
        }
        draw(&order[number]);
        got[number] = (struct result){ 0 };
        weir_chan_send(told[number], NULL, 0);
        settle();
        model_order(number, &order[number]);
}

/* Whoever waits still is let go. */
static void end_trace(void)
{
        for (int c = 0; c < CHANS; c++)
                if (!model[c].closed) {
                        model_close(c);
                        weir_chan_close(chan[c]);
                }
        model_end();
        weir_ctx_cancel(ctx);
        settle();
}

WEIR_TEST_WITH(a_million_traces_are_those_of_the_model, .procs = 1, .timeout = 100)
{
        weir_wg wg = { 0 };

        state = (uint64_t)weir_now();
        fprintf(stderr, "seed %llu\n", (unsigned long long)state);
        for (int i = 0; i < WORKERS; i++) {
                told[i] = weir_chan_new(0, 1);
                waits_for_end[i] = -1;
                got[i].over = want[i].over = true;
                weir_wg_add(&wg, 1);
                weir_go(worker, .number = i, .wg = &wg);
        }
        for (int trace = 0; trace < TRACES; trace++) {
                ctx = weir_ctx_with_cancel(NULL);
                ended = false;
                for (int c = 0; c < CHANS; c++) {
                        model[c] = (struct model_chan){ .cap = below(CAP_MAX + 1) };
                        chan[c] = weir_chan_make(int, (size_t)model[c].cap);
                }
                for (int i = 0; i < STEPS; i++) {
                        step();
                        compare(trace, i);
                }
                end_trace();
                compare(trace, STEPS);
        }
        for (int i = 0; i < WORKERS; i++)
                weir_chan_close(told[i]);
        weir_wg_wait(&wg);
}
