/* What the files that make a dump share: name.c, dump.c, census.c, waits.c. */
#ifndef WEIR_SCHED_DUMP_H
#define WEIR_SCHED_DUMP_H

#include "sched/state.h"
#include <weir/run.h>

enum { FRAMES_FIRST = 32, FRAMES_LAST = 16, FRAMES_COUNTED = 20000, FRAMES_LOOK = 12,
       IDS_SHOWN = 32 };

/* ---- name.c ---- */

struct name {
        const void *pc;
        uint64_t    dump;               /* in which: later, another library may be there */
        weir_symbol sym;
        size_t      offset;
        bool        known;
};

/* A dump under way. One that could not have the lock, because another is being written or the fault
 * came in the middle of one, looks names up in a place of its own. */
struct look {
        bool        mine;               /* holds dump_lock */
        uint64_t    dump;               /* its number; 0 without the lock */
        struct name own;
};

/* Takes the lock of names. The first waits for whoever dumps at the same time, but not for ever:
 * the holder may be who faulted. False: go on without. */
bool weir__name_lock(void);
bool weir__name_try_lock(void);

/* Begins a dump with the lock or without, and ends it. */
struct look weir__name_look(bool mine);
void        weir__name_done(const struct look *l);

/* What stands at pc; until the next call. lines: ask for file and line, which may need malloc. */
const struct name *weir__name_find(struct look *l, const void *pc, bool lines);

/* The function that a goroutine was started with, in buf; "?" if that is not known. */
const char *weir__name_of_entry(void (*fn)(void *), char *buf, size_t size);

static inline bool dump_internal(const char *function)
{
        return !strncmp(function, "weir__", 6);
}

static inline bool dump_public_call(const char *function)
{
        return !strncmp(function, "weir_", 5) && !dump_internal(function);
}

/* ---- dump.c: a goroutine, and parts of what is printed of one ---- */

struct dump {
        struct out *o;
        struct look look;
};

/* A starter of a group: not all have the same. */
#define SEVERAL UINT64_MAX

/* Prints the goroutine with this head, if it lives. True: on to the next. */
bool weir__dump_one(void *head, void *dump);

bool        weir__dump_system_frames(void);     /* whether the runtime's own are wanted */
void        weir__dump_frame(struct out *o, const struct name *n, const void *pc, bool after_call);
void        weir__dump_age(struct out *o, const char *before, int64_t ns);
void        weir__dump_trace_id(struct out *o, const struct g *g);
void        weir__dump_entry(struct out *o, void (*fn)(void *), uint64_t starter);
const char *weir__dump_state(uint32_t state, uint32_t why);

/* ---- census.c ---- */

/* Prints all goroutines on stacks, equal ones once. */
void weir__dump_stacks(struct dump *d);

#endif
