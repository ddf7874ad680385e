/* What scenarios see and set of the system that os.c plays. */
#ifndef WEIR_MODEL_OS_H
#define WEIR_MODEL_OS_H

#include "explore.h"

struct model_os {
        int64_t  now;
        int64_t  step;          /* by which each look moves the clock; 0: by 1 */
        int64_t  poll_ns;       /* limit of the wait in the poller */
        int      in_poller;     /* threads there; not an atomic: only the explorer's turns write */
        bool     interrupted;
        void    *event;         /* the next event of the poller */
        unsigned event_what;
        int      closed;        /* descriptors closed */
};

extern struct model_os model_os;

#endif
