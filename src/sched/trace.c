/* The trace that a goroutine works for: 128 bits of a trace id and 64 of a span, inherited by what
 * it starts.
 *
 * What    Three words in struct g, copied at each start (spawn.c), kept by timers and contexts for
 *         what they start, and sent along by channels that were made so (chan/traced.c).
 * Cost    A start copies three words.
 * Not     A thread-local variable of the program: it belongs to threads. A value in a context: what
 *         writes a log line or a dump has no context at hand. */
#include "sched/state.h"
#include <weir/trace.h>

weir_trace_id weir_trace_id_get(void)
{
        uint64_t t[3];

        weir__sched_trace_take(t);
        return (weir_trace_id){ .high = t[0], .low = t[1], .span = t[2] };
}

void weir_trace_id_set(weir_trace_id id)
{
        weir__sched_need_g("weir_trace_id_set");
        weir__sched_trace_put((const uint64_t[3]){ id.high, id.low, id.span });
}

/* Never 0. From the processor's numbers, and once from the clock and an address, lest two programs
 * count alike. */
static uint64_t draw(void)
{
        static uint64_t seed;           /* atomic */
        struct p       *p = self()->p;
        uint64_t        s = load_relaxed(&seed), v;

        if (unlikely(!s)) {
                s = (uint64_t)weir__os_now() * UINT64_C(0x9E3779B97F4A7C15) ^ (uintptr_t)p;
                s ^= (uint64_t)weir__os_random() | 1;
                store_relaxed(&seed, s);
        }
        do {
                v = (uint64_t)weir__rand(&p->rand) << 32;
                v = (v | weir__rand(&p->rand)) ^ s;
        } while (!v);
        return v;
}

weir_trace_id weir_trace_id_new(void)
{
        weir_trace_id id;

        weir__sched_need_g("weir_trace_id_new");
        id.high = draw();
        id.low = draw();
        id.span = draw();
        weir_trace_id_set(id);
        return id;
}

weir_trace_id weir_trace_id_span(void)
{
        weir_trace_id id;

        weir__sched_need_g("weir_trace_id_span");
        id = weir_trace_id_get();
        if (!(id.high | id.low))
                return weir_trace_id_new();
        id.span = draw();
        weir_trace_id_set(id);
        return id;
}

/* ---- as text: the header traceparent of W3C's Trace Context, version 00 ---- */

static void put_hex(char *at, uint64_t v)
{
        for (int i = 15; i >= 0; i--, v >>= 4)
                at[i] = "0123456789abcdef"[v & 15];
}

int weir_trace_id_format(weir_trace_id id, char *ret, size_t size)
{
        static const char form[] = "00-hhhhhhhhhhhhhhhhllllllllllllllll-ssssssssssssssss-01";

        if (!ret || size < sizeof form)
                return -ENOBUFS;
        memcpy(ret, form, sizeof form);
        put_hex(ret + 3, id.high);
        put_hex(ret + 19, id.low);
        put_hex(ret + 36, id.span);
        return (int)sizeof form - 1;
}

static bool get_hex(const char *at, int digits, uint64_t *ret)
{
        uint64_t v = 0;

        for (int i = 0; i < digits; i++) {
                char c = at[i];
                int  d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

                if (d < 0)
                        return false;
                v = v << 4 | (unsigned)d;
        }
        *ret = v;
        return true;
}

int weir_trace_id_parse(const char *text, weir_trace_id *ret)
{
        weir_trace_id id;
        uint64_t      version, flags;
        size_t        n = text ? strnlen(text, 56) : 0;

        if (n < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
            !get_hex(text, 2, &version) || !get_hex(text + 3, 16, &id.high) ||
            !get_hex(text + 19, 16, &id.low) || !get_hex(text + 36, 16, &id.span) ||
            !get_hex(text + 53, 2, &flags))
                return -EINVAL;
        /* Later versions may add a part behind another hyphen. */
        if (version == 0xff || (n > 55 && (!version || text[55] != '-')) ||
            !(id.high | id.low) || !id.span)
                return -EINVAL;
        if (ret)
                *ret = id;
        return 0;
}
