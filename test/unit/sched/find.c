/* Work that one processor has and another one lacks. */
/* timeout: 120 */
#include "check.h"
#include "base/atomic.h"
#include "sched/state.h"

enum { BATCH = 100, BATCHES = 200 };

weir_task(tiny, my, { weir_wg *wg; })
{
        weir_wg_done(my->wg);
}

static void run_tiny_ones(void)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < BATCHES; i++) {
                weir_wg_add(&wg, BATCH);
                for (int k = 0; k < BATCH; k++)
                        weir_go(tiny, .wg = &wg);
                weir_wg_wait(&wg);
        }
}

weir_task(raise_flag, my, { uint32_t *flag; })
{
        store_release(my->flag, 1);
}

/* Who found the goroutines of a processor too short to be worth stealing must come back for the one
 * behind which its starter waits, without a call and without a word to the scheduler. */
WEIR_TEST_WITH(a_processor_left_alone_for_its_tiny_goroutines_is_relieved_again, .procs = 2)
{
        for (int round = 0; round < 10; round++) {
                uint32_t flag = 0;

                run_tiny_ones();
                weir_preempt_disable();         /* else the starter would be stopped for it */
                weir_go(raise_flag, .flag = &flag);
                while (!load_acquire(&flag))
                        ;
                weir_preempt_enable();
        }
}

weir_task(count_down, my, { uint32_t *left; weir_chan *done; })
{
        if (fetch_sub_seq(my->left, 1) == 1)
                weir_chan_close(my->done);
}

/* The same when those that follow the tiny ones are many, and were put while nobody looked. */
WEIR_TEST_WITH(a_crowd_behind_a_starter_that_computes_is_run, .procs = 2)
{
        uint32_t   left = BATCH;
        weir_chan *done = weir_chan_new(0, 0);

        run_tiny_ones();
        weir_preempt_disable();
        for (int k = 0; k < BATCH; k++)
                weir_go(count_down, .left = &left, .done = done);
        while (load_acquire(&left))
                ;
        weir_preempt_enable();
        weir_chan_recv(done, NULL, 0);
}
