/* Once (src/sync/once.c): the function is called once, and whoever comes back sees what it did. */
#include "sync/sync.h"
#include "fake.h"

static weir_once once;
static int       calls, back[MODEL_THREADS];

static void make(void)
{
        fake_init();
}

static void begin(void *arg)
{
        (void)arg;
        calls++;
}

static void come(void)
{
        weir_once_do(&once, begin, NULL);
        must(calls == 1);
        back[model_self()] = 1;
}

static void all_back(void)
{
        must(calls == 1 && back[0] && back[1] && back[2]);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "once/three", .setup = make, .finish = all_back, .bound = 4,
                  .thread = { come, come, come },
                  .mutants = {
                          { "weir_once_do:load_acquire(word)", MUTATE_RELAX },
                          { "weir_once_do:cas_seq(word)", MUTATE_BLIND },
                          { "finish:exchange_seq(word)", MUTATE_RELAX },
                          { "finish:exchange_seq(word)", MUTATE_TEAR },
                          { "wait:cas_seq(word)", MUTATE_BLIND },
                          { "wait:cas_seq(word)", MUTATE_RELAX } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
