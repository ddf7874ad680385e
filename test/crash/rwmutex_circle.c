/* run: WEIR_PROCS=1 */
/* A reader that waits for a mutex, whose owner waits to write: the report shows the circle. */
#include <weir.h>

static struct {
        weir_mutex   m;
        weir_rwmutex rw;
        weir_chan   *reads, *locked;
} all;

weir_task(write_it, my, { int unused; })
{
        bool go;

        (void)my;
        weir_recv(all.reads, &go);
        weir_mutex_lock(&all.m);
        weir_send(all.locked, &go);
        weir_rwmutex_lock(&all.rw);
}

weir_task(read_it, my, { int unused; })
{
        bool go = true;

        (void)my;
        weir_rwmutex_rlock(&all.rw);
        weir_send(all.reads, &go);
        weir_recv(all.locked, &go);
        weir_mutex_lock(&all.m);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *never = weir_chan_make(int, 0);
        int        v;

        all.reads = weir_chan_make(bool, 1);
        all.locked = weir_chan_make(bool, 1);
        weir_go(write_it);
        weir_go(read_it);
        weir_recv(never, &v);
        return 0;
}
