/* A descriptor that goroutines wait on: what poll.c and the kinds of connection share. */
#ifndef WEIR_NET_DESC_H
#define WEIR_NET_DESC_H

#include "base/lock.h"
#include "ctx/ctx.h"
#include "mem/mem.h"
#include "sched/sched.h"
#include "sync/sync.h"
#include "time/time.h"

struct desc;

/* One direction of a descriptor. */
struct side {
        uintptr_t    waiter;    /* atomic: see States in poll.c */
        uint32_t     expired;   /* atomic: the deadline has passed */
        bool         drained;   /* turn: the last call took all there was; wait before the next */
        bool         full;      /* turn: the last read filled its buffer */
        weir_mutex   turn;      /* held by the goroutine whose call it is */
        struct timer deadline;  /* lock: desc */
        struct desc *desc;      /* const */
};

struct desc {
        uint32_t    refs;       /* atomic: users, plus CLOSING; see poll.c */
        int         fd;         /* const while open */
        uint32_t    hangup;     /* atomic: OS_POLL_HANGUP came: no drained guess any more */
        bool        tcp;        /* const while open: short means drained, which on Unix sockets a
                                 * message with descriptors behind it belies */
        bool        socket;     /* const while open */
        bool        listens;    /* const while open: once closed, its name must be free */
        bool        inq;        /* read turn: TCP tells with each read what is left */
        struct lock lock;       /* deadlines */
        struct side read, write;
        void      (*release)(struct desc *d);   /* const: the last user has left */
};

#define DESC_CLOSING (UINT32_C(1) << 31)

/* Prepares a record for an open non-blocking descriptor and watches it. -errno: not watched, the
 * descriptor stays the caller's. */
int weir__desc_open(struct desc *d, int fd, void (*release)(struct desc *d));

/* Users come and go; between the two the descriptor stays open. False: closed. */
bool weir__desc_enter(struct desc *d);
void weir__desc_leave(struct desc *d);

/* Wakes every waiter and lets the descriptor go with its last user. WEIR_ECLOSED: was closed. */
int weir__desc_close(struct desc *d);

/* Parks until the direction may be tried (0), its deadline passed (WEIR_ETIMEOUT) or the descriptor
 * is being closed (WEIR_ECLOSED). The caller has the turn. */
int weir__desc_wait(struct side *s, enum why why);

/* 0, or why the direction may not be used now. */
int weir__desc_usable(const struct side *s);

/* A direction that is given up when a context ends: its calls then fail with WEIR_ETIMEOUT, for
 * good. */
struct leash {
        struct ctx_watch watch;
        struct side     *side;          /* const */
        weir_ctx        *ctx;           /* const; NULL: none */
};

/* Begins; and ends, after which l is the caller's. Without locks, but for the turn. */
void weir__desc_leash(struct leash *l, struct side *s, weir_ctx *ctx);
void weir__desc_unleash(struct leash *l);

void weir__desc_deadline(struct side *s, int64_t when);

/* A new connection for an open descriptor; takes it over on success. */
struct weir_conn;

int weir__conn_make(int fd, struct weir_conn **ret);

struct desc *weir__conn_desc(struct weir_conn *c);

#endif
