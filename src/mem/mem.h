/* Memory for the objects that weir hands to programs. */
#ifndef WEIR_MEM_MEM_H
#define WEIR_MEM_MEM_H

#include "base/lock.h"

/* Zeroed memory, aligned to a cache line, for an object that nobody frees (a channel). Never NULL:
 * without memory the program ends with a message that names what it was for. From: any thread. */
void *weir__mem_new(size_t size, const char *what);

/* Records that are closed or stopped by hand and may still be named afterwards: a second close must
 * find a closed record, not another one. A record given back is handed out again only after `keep`
 * later ones were given back. */
struct pool {
        struct lock  lock;
        size_t       size;              /* const: bytes of a record */
        unsigned     keep;              /* const */
        const char  *what;              /* const */
        unsigned     count;             /* lock: own */
        struct spare *first, *last;     /* lock: own */
};

#define POOL_INIT(bytes, least, name) \
        { .lock = LOCK_INIT(pool), .size = (bytes), .keep = (least), .what = (name) }

/* A record; its content is zero when fresh, and as it was given back when not (but for the first
 * two words). From: any thread. */
void *weir__pool_get(struct pool *p, bool *ret_fresh);
void  weir__pool_put(struct pool *p, void *record);

#endif
