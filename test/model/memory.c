/* The explorer's memory: words with the stores that may still be read, clocks, fences, and races of
 * plain accesses. The model itself is in the essay of explore.c. */
#include "state.h"
#include <string.h>

/* ---- words ---- */

static uint64_t peek(const void *p, unsigned size)
{
        uint64_t v = 0;

        memcpy(&v, p, size);
        return v;
}

static void poke(void *p, unsigned size, uint64_t v)
{
        memcpy(p, &v, size);
}

static struct known *known_word(uintptr_t addr)
{
        struct known *k = X->known;

        for (unsigned i = 0; i < X->nknown; i++, k++)
                if (k->addr == addr)
                        return k;
        if (X->nknown == LOCS * 4)
                model_fail("more than %d words", LOCS * 4);
        X->nknown++;
        *k = (struct known){ .addr = addr, .owner = X->cur };
        return k;
}

static struct loc *find_loc(const void *p, unsigned size)
{
        static unsigned hint;
        struct loc     *l = &X->loc[hint];

        if (hint < X->nloc && l->addr == (uintptr_t)p)
                return l;
        for (hint = 0; hint < X->nloc; hint++)
                if (X->loc[hint].addr == (uintptr_t)p)
                        return &X->loc[hint];
        if (X->nloc == LOCS)
                model_fail("more than %d words", LOCS);
        if ((uintptr_t)p < 4096)
                model_fail("thread %d goes to address %p", X->cur, p);
        l = &X->loc[X->nloc++];
        l->addr = (uintptr_t)p;
        l->size = size;
        l->base = l->total = 0;
        l->n = 1;
        l->known = (uint16_t)(known_word(l->addr) - X->known);
        l->s[0] = (struct store){ .value = peek(p, size) };
        return l;
}

static uint16_t newest(const struct loc *l)
{
        return (uint16_t)(l->base + l->n - 1);
}

static void push_store(struct loc *l, uint64_t v, const struct clock *message)
{
        if (l->n == HISTORY) {
                memmove(l->s, l->s + HISTORY / 2, HISTORY / 2 * sizeof l->s[0]);
                l->base += HISTORY / 2;
                l->n = HISTORY / 2;
        }
        l->s[l->n++] = (struct store){ v, message };
}

static unsigned index_of(const struct loc *l)
{
        return (unsigned)(l - X->loc);
}

static void join_view(struct clock *to, const struct clock *from)
{
        for (unsigned i = 0; i < X->nloc; i++)
                if (from->view[i] > to->view[i])
                        to->view[i] = from->view[i];
}

static void join(struct clock *to, const struct clock *from)
{
        for (unsigned i = 0; i < T; i++)
                if (from->vc[i] > to->vc[i])
                        to->vc[i] = from->vc[i];
        join_view(to, from);
}

static struct clock *copy_clock(const struct clock *c)
{
        struct clock *copy;

        if (X->nclock == CLOCKS)
                model_fail("more than %d releases", CLOCKS);
        copy = &X->clock[X->nclock++];
        memcpy(copy->vc, c->vc, sizeof copy->vc);
        memcpy(copy->view, c->view, X->nloc * sizeof copy->view[0]);
        memset(copy->view + X->nloc, 0, (LOCS - X->nloc) * sizeof copy->view[0]);
        return copy;
}

/* Whether the word of 4 bytes at p is one whose halves are written apart: each has its own stores,
 * and an operation on the whole is one on both, at once but for a load. */
static bool is_split(const void *p, unsigned size)
{
        if (size != 4)
                return false;
        for (unsigned i = 0; i < X->nsplit; i++)
                if (X->split[i] == p)
                        return true;
        return false;
}

void model_split(const void *p)
{
        if (X->nsplit == SPLITS)
                model_fail("more than %d words in halves", SPLITS);
        X->split[X->nsplit++] = p;
}

/* The word, after the decision who operates on it; also whatever plain stores did to it since: they
 * are ordered with everything, or the compiler's reports have made an error of it. */
static struct loc *enter_at(const void *p, unsigned size, bool decide)
{
        struct loc   *l = find_loc(p, size);
        struct known *k = &X->known[l->known];
        uint64_t      now;

        if (k->owner != X->cur && !k->next)
                k->next = X->learned = true;
        if (decide)
                model_point(k->shared);
        now = peek(p, size);
        if (now != l->s[l->n - 1].value) {
                push_store(l, now, NULL);
                for (unsigned i = 0; i < X->threads; i++)
                        X->thread[i].clock.view[index_of(l)] = newest(l);
        }
        return l;
}

static struct loc *enter(const void *p, unsigned size)
{
        return enter_at(p, size, true);
}

/* Both halves. */
static void enter_split(const void *p, struct loc *ret[2])
{
        (void)find_loc((const char *)p + 2, 2);
        ret[0] = enter_at(p, 2, true);
        ret[1] = enter_at((const char *)p + 2, 2, false);
}

static struct clock *clock_now(void)
{
        return &X->thread[X->cur].clock;
}

static void fence(void)
{
        join_view(clock_now(), &X->total);
        join_view(&X->total, clock_now());
}

static void take_over(const struct store *s, enum model_order o)
{
        if ((o & MODEL_ACQUIRE) && s->message)
                join(clock_now(), s->message);
}

static void put(struct loc *l, uint64_t v, enum model_order o, const struct clock *inherited)
{
        struct clock *c = clock_now(), *message = NULL;

        c->view[index_of(l)] = (uint16_t)(newest(l) + 1);
        if (o & MODEL_RELEASE)
                message = copy_clock(c);
        if (inherited) {
                if (message)
                        join(message, inherited);
                else
                        message = copy_clock(inherited);
        }
        push_store(l, v, message);
        poke((void *)l->addr, l->size, v);
        c->vc[X->cur]++;
        if (o & 4)
                l->total = newest(l);
}

/* ---- races of plain accesses ---- */

static struct shadow *shadow_of(uintptr_t key)
{
        unsigned at = (unsigned)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 51) % SHADOW;

        for (unsigned i = 0; i < SHADOW; i++, at = (at + 1) % SHADOW) {
                struct shadow *s = &X->shadow[at];

                if (s->run != X->run) {
                        memset(s, 0, sizeof *s);
                        s->run = X->run;
                        s->key = key;
                        return s;
                }
                if (s->key == key)
                        return s;
        }
        model_fail("more than %d bytes touched", SHADOW);
}

static bool before(unsigned who, uint16_t when)
{
        return when <= clock_now()->vc[who];
}

static bool all_before(const uint16_t *when)
{
        for (unsigned i = 0; i < X->threads; i++)
                if (!before(i, when[i]))
                        return false;
        return true;
}

static void race(uintptr_t at, const char *what, const void *pc)
{
        model_fail("data race: thread %d %s %p without an order, at %p", X->cur, what, (void *)at,
                   pc);
}

static void touch(uintptr_t key, bool write, bool atomic, const void *pc)
{
        struct shadow *s = shadow_of(key);
        uint16_t       now = clock_now()->vc[X->cur];

        if (!before(s->writer, s->wrote) || (!atomic && !all_before(s->awrote)))
                race(key, write ? "writes" : "reads what was written to", pc);
        if (write && (!all_before(s->read) || (!atomic && !all_before(s->aread))))
                race(key, "writes what was read of", pc);
        if (!write)
                (atomic ? s->aread : s->read)[X->cur] = now;
        else if (atomic)
                s->awrote[X->cur] = now;
        else {
                s->writer = (uint8_t)X->cur;
                s->wrote = now;
        }
}

/* Words of 4 bytes have an entry each, shorter ones one by their address. */
static void touch_range(const void *p, size_t size, bool write, bool atomic, const void *pc)
{
        uintptr_t at = (uintptr_t)p;

        if (!model_running() || X->failed || X->asking)
                return;
        if (size < 4) {
                touch(at, write, atomic, pc);
                return;
        }
        for (size_t i = 0; i < size; i += 4)
                touch((at + i) & ~(uintptr_t)3, write, atomic, pc);
}

#define PC __builtin_return_address(0)
#define REPORT(name, size, write) \
        void __tsan_##name(void *p); \
        void __tsan_##name(void *p) { touch_range(p, size, write, false, PC); }
REPORT(read1, 1, false) REPORT(read2, 2, false) REPORT(read4, 4, false) REPORT(read8, 8, false)
REPORT(read16, 16, false) REPORT(write1, 1, true) REPORT(write2, 2, true) REPORT(write4, 4, true)
REPORT(write8, 8, true) REPORT(write16, 16, true)
REPORT(unaligned_read2, 2, false) REPORT(unaligned_read4, 4, false)
REPORT(unaligned_read8, 8, false) REPORT(unaligned_read16, 16, false)
REPORT(unaligned_write2, 2, true) REPORT(unaligned_write4, 4, true)
REPORT(unaligned_write8, 8, true) REPORT(unaligned_write16, 16, true)
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) { (void)order; }      /* for the compiler alone */
void __tsan_func_entry(void *p);
void __tsan_func_entry(void *p) { (void)p; }
void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n) { touch_range(p, n, false, false, PC); }
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n) { touch_range(p, n, true, false, PC); }
void __tsan_func_exit(void);
void __tsan_func_exit(void) { }
void __tsan_init(void);
void __tsan_init(void) { }
void *__tsan_memcpy(void *d, const void *s, size_t n);
void *__tsan_memcpy(void *d, const void *s, size_t n)
{
        touch_range(s, n, false, false, PC);
        touch_range(d, n, true, false, PC);
        return memcpy(d, s, n);
}
void *__tsan_memset(void *d, int c, size_t n);
void *__tsan_memset(void *d, int c, size_t n)
{
        touch_range(d, n, true, false, PC);
        return memset(d, c, n);
}
void *__tsan_memmove(void *d, const void *s, size_t n);
void *__tsan_memmove(void *d, const void *s, size_t n)
{
        touch_range(s, n, false, false, PC);
        touch_range(d, n, true, false, PC);
        return memmove(d, s, n);
}

/* ---- operations ---- */

static enum model_order order_at(enum model_order o, const struct site *s)
{
        return s->mutation == MUTATE_RELAX ? MODEL_RELAXED : o;
}

/* One of the stores of l that the running thread may read. */
static uint64_t read_one(struct loc *l, enum model_order o, const struct site *s)
{
        struct clock *c = clock_now();
        uint16_t      low = c->view[index_of(l)], at;
        unsigned      n;

        if (o & 4)
                low = low > l->total ? low : l->total;
        low = low > l->base ? low : l->base;
        n = (unsigned)(newest(l) - low) + 1;
        at = (uint16_t)(newest(l) - model_choose(n, false));
        c->view[index_of(l)] = at;
        take_over(&l->s[at - l->base], o);
        say("%s:%s reads %llx%s", s->func, s->op, (unsigned long long)l->s[at - l->base].value,
            at != newest(l) ? " (old)" : "");
        return l->s[at - l->base].value;
}

uint64_t model_load(const void *p, unsigned size, enum model_order o, const struct site *s)
{
        struct loc *l[2];
        uint64_t    v;

        if (!model_running())
                return peek(p, size);
        o = order_at(o, s);
        if (is_split(p, size)) {
                enter_split(p, l);
                touch_range(p, size, false, true, PC);
                v = read_one(l[0], o, s);
                v |= read_one(l[1], o, s) << 16;
        } else {
                l[0] = enter(p, size);
                touch_range(p, size, false, true, PC);
                v = read_one(l[0], o, s);
        }
        return s->mutation == MUTATE_FORCE ? s->value : v;
}

void model_store(void *p, unsigned size, uint64_t v, enum model_order o, const struct site *s)
{
        struct loc *l;

        if (!model_running()) {
                poke(p, size, v);
                return;
        }
        l = enter(p, size);
        o = order_at(o, s);
        say("%s:%s writes %llx", s->func, s->op, (unsigned long long)v);
        if (s->mutation == MUTATE_SKIP)
                return;
        if (size < 8)
                v &= (UINT64_C(1) << 8 * size) - 1;
        touch_range(p, size, true, true, PC);
        put(l, v, o, NULL);
        if (o & 4)
                fence();
}

static uint64_t apply(enum model_rmw what, uint64_t old, uint64_t v, unsigned size)
{
        uint64_t new = v;

        switch (what) {
        case MODEL_XCHG:
                break;
        case MODEL_ADD:
                new = old + v;
                break;
        case MODEL_SUB:
                new = old - v;
                break;
        case MODEL_OR:
                new = old | v;
                break;
        case MODEL_AND:
                new = old & v;
                break;
        }
        return size < 8 ? new & ((UINT64_C(1) << 8 * size) - 1) : new;
}

/* Reads the newest, as a locked instruction does, and writes. */
static uint64_t read_write(struct loc *l, enum model_rmw what, uint64_t v, enum model_order o)
{
        struct store old = l->s[l->n - 1];

        clock_now()->view[index_of(l)] = newest(l);
        take_over(&old, o);
        if (o & 4)
                fence();
        put(l, apply(what, old.value, v, l->size), o, old.message);
        if (o & 4)
                fence();
        return old.value;
}

static uint64_t newest_of(struct loc *l[2])
{
        return l[0]->s[l[0]->n - 1].value | l[1]->s[l[1]->n - 1].value << 16;
}

/* Reads and writes both halves. */
static void write_split(struct loc *l[2], uint64_t v, enum model_order o)
{
        read_write(l[0], MODEL_XCHG, v & 0xffff, o);
        read_write(l[1], MODEL_XCHG, v >> 16, o);
}

static uint64_t rmw_split(void *p, enum model_rmw what, uint64_t v, enum model_order o,
                          const struct site *s)
{
        struct loc *l[2];
        uint64_t    old;

        enter_split(p, l);
        touch_range(p, 4, true, true, PC);
        old = newest_of(l);
        if (s->mutation == MUTATE_SKIP)
                return old;
        write_split(l, apply(what, old, v, 4), o);
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)newest_of(l));
        return old;
}

uint64_t model_rmw(void *p, unsigned size, enum model_rmw what, uint64_t v, enum model_order o,
                   const struct site *s)
{
        uint64_t    old;
        struct loc *l;

        if (!model_running()) {
                old = peek(p, size);
                poke(p, size, apply(what, old, v, size));
                return old;
        }
        o = order_at(o, s);
        if (is_split(p, size))
                return rmw_split(p, what, v, o, s);
        l = enter(p, size);
        touch_range(p, size, true, true, PC);
        if (s->mutation == MUTATE_SKIP)
                return l->s[l->n - 1].value;
        if (s->mutation == MUTATE_TEAR) {
                struct store torn = l->s[l->n - 1];

                take_over(&torn, o);
                model_point(true);
                put(l, apply(what, torn.value, v, size), o, NULL);
                return torn.value;
        }
        old = read_write(l, what, v, o);
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)l->s[l->n - 1].value);
        return old;
}

static bool cas_split(void *p, uint64_t *e, uint64_t v, enum model_order o, enum model_order failed,
                      const struct site *s)
{
        struct loc *l[2];
        uint64_t    old;

        enter_split(p, l);
        touch_range(p, 4, true, true, PC);
        old = newest_of(l);
        if (old != *e && s->mutation != MUTATE_BLIND) {
                say("%s:%s finds %llx, not %llx", s->func, s->op, (unsigned long long)old,
                    (unsigned long long)*e);
                for (int i = 0; i < 2; i++) {
                        clock_now()->view[index_of(l[i])] = newest(l[i]);
                        take_over(&l[i]->s[l[i]->n - 1], failed);
                }
                if (failed & 4)
                        fence();
                *e = old;
                return false;
        }
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)v);
        write_split(l, v, o);
        return true;
}

bool model_cas(void *p, unsigned size, uint64_t *e, uint64_t v, enum model_order o,
               enum model_order failed, const struct site *s)
{
        struct loc *l;
        uint64_t    old;

        if (!model_running()) {
                old = peek(p, size);
                if (old != *e) {
                        *e = old;
                        return false;
                }
                poke(p, size, v);
                return true;
        }
        if (size < 8)
                *e &= (UINT64_C(1) << 8 * size) - 1;
        o = order_at(o, s);
        if (is_split(p, size))
                return cas_split(p, e, v, o, order_at(failed, s), s);
        l = enter(p, size);
        touch_range(p, size, true, true, PC);
        old = l->s[l->n - 1].value;
        if (old != *e && s->mutation != MUTATE_BLIND) {
                say("%s:%s finds %llx, not %llx", s->func, s->op, (unsigned long long)old,
                    (unsigned long long)*e);
                clock_now()->view[index_of(l)] = newest(l);
                take_over(&l->s[l->n - 1], order_at(failed, s));
                if (order_at(failed, s) & 4)
                        fence();
                *e = old;
                return false;
        }
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)v);
        if (s->mutation == MUTATE_TEAR)
                model_point(true);
        read_write(l, MODEL_XCHG, v, o);
        return true;
}

/* Each thread, wherever it is, passes through a full fence. */
void model_fence_all(void)
{
        if (!model_running())
                return;
        model_point(true);
        say("a fence in all threads");
        for (unsigned i = 0; i < X->threads; i++)
                join_view(&X->total, &X->thread[i].clock);
        for (unsigned i = 0; i < X->threads; i++)
                join_view(&X->thread[i].clock, &X->total);
}

void model_count(void *p, unsigned size, uint64_t v)
{
        poke(p, size, peek(p, size) + v);
}
