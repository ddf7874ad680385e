/* run: WEIR_PROCS=1 */
/* A deadlock of mutexes: the report names who holds each, and the circle; a mutex whose owner has
 * ended, and a wait group, say what they still wait for. */
#include <weir.h>

static weir_mutex all[4];               /* the report goes by their addresses */

#define own  all[0]
#define left all[1]
#define b    all[2]
#define a    all[3]

weir_task(both, my, { weir_mutex *first, *second; weir_chan *ready, *go; })
{
        int v = 0;

        weir_mutex_lock(my->first);
        weir_send(my->ready, &v);
        weir_recv(my->go, &v);
        weir_mutex_lock(my->second);
}

weir_task(leave, my, { weir_chan *ready; })
{
        int v = 0;

        weir_mutex_lock(&left);
        weir_send(my->ready, &v);
}

weir_task(twice, my, { weir_chan *ready; })
{
        int v = 0;

        weir_mutex_lock(&own);
        weir_send(my->ready, &v);
        weir_mutex_lock(&own);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *ready = weir_chan_make(int, 0), *go = weir_chan_make(int, 0);
        weir_wg    wg = { 0 };
        int        v;

        weir_go(both, .first = &a, .second = &b, .ready = ready, .go = go);
        weir_recv(ready, &v);
        weir_go(both, .first = &b, .second = &a, .ready = ready, .go = go);
        weir_recv(ready, &v);
        weir_go(leave, .ready = ready);
        weir_recv(ready, &v);
        weir_go(twice, .ready = ready);
        weir_recv(ready, &v);
        weir_chan_close(go);
        weir_wg_add(&wg, 3);
        weir_wg_go(&wg, both, .first = &left, .second = &left, .ready = ready, .go = go);
        weir_wg_wait(&wg);
        return 0;
}
