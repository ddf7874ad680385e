/* Timers, for the layers above: embedded, without allocation. */
#ifndef WEIR_TIME_TIME_H
#define WEIR_TIME_TIME_H

#include "sched/sched.h"

struct timers;

/* A timer, embedded in its owner. Zero is a stopped one. */
struct timer {
        int64_t        when;            /* lock: its heap */
        int64_t        period;          /* lock: its heap; 0: once */
        void         (*fn)(struct timer *t);    /* const while armed */
        struct timers *heap;            /* atomic; lock: that heap to write */
        uint32_t       index;           /* lock: its heap */
        bool           armed;           /* lock: its heap */
};

/* Arms a stopped timer. fn is called once it is due, on a scheduler's stack and with the heap
 * locked: it may ready or start goroutines and nothing else that can wait. From: a thread with a
 * processor. */
void weir__timer_start(struct timer *t, int64_t when, int64_t period, void (*fn)(struct timer *t));

/* The same for a timer that is never stopped, which makes it cheaper. */
void weir__timer_start_for_good(struct timer *t, int64_t when, void (*fn)(struct timer *t));

/* Disarms; true: it was armed. When it returns, fn neither runs nor will run. */
bool weir__timer_stop(struct timer *t);

/* The moment d from now; a time beyond the clock becomes its end. */
int64_t weir__time_after(int64_t d);

#endif
