/* Records of what is tied to objects; special.c says what they are. */
#ifndef WEIR_GC_SPECIAL_H
#define WEIR_GC_SPECIAL_H

#include "base/lock.h"
#include "gc/gc.h"

enum special_kind {
        SPECIAL_FREE, SPECIAL_PIN, SPECIAL_FINAL, SPECIAL_CLEANUP, SPECIAL_WEAK, SPECIAL_RUN,
};

struct special {
        uintptr_t obj;                  /* atomic; lock: specials to write; in the queue 0: a
                                         * cleanup's */
        void     *arg;                  /* the same: a cleanup's; of a weak pointer its handle */
        void    (*fn)(void *);          /* lock: specials */
        uint32_t  next;                 /* lock: specials: in its chain, the queue or the free list */
        uint32_t  count;                /* lock: specials: of a pin: how many */
        uint32_t  generation;           /* lock: specials */
        uint32_t  suspect;              /* the collector's: the next one */
        uint8_t   kind;                 /* atomic; lock: specials to write */
};

/* Calls to be made, by next. */
struct special_queue {
        uint32_t first, last;           /* lock: specials */
};

extern struct lock weir__special_lock;
extern struct special_queue weir__special_queue;

/* A record of a number that was used. */
struct special *weir__special_at(uint32_t number);

/* With the lock: the record of an object and kind, 0: none; a new one; takes one out of its chain;
 * and gives it back. Who adds one shades obj and arg, once the lock is dropped. */
uint32_t weir__special_find(uintptr_t obj, enum special_kind kind);
uint32_t weir__special_add(uintptr_t obj, enum special_kind kind, void (*fn)(void *), void *arg);
void     weir__special_unlink(uint32_t number);
void     weir__special_free(uint32_t number);

/* With the lock: puts a record that is in no chain at the end of the queue. */
void weir__special_queue_add(uint32_t number);

/* Of a weak pointer whose object has died. With the world stopped. */
void weir__weak_clear(void *handle);

#endif
