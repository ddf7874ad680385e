/* run: WEIR_DEBUG=ctxtrace=1 */
/* WEIR_DEBUG=ctxtrace=1 names the calls that made contexts which nobody cancelled, and values that
 * do not belong into one. */
#include <weir.h>
#include <stdlib.h>

static const char key;

static __attribute__((noinline)) weir_ctx *forget(weir_ctx *parent)
{
        weir_ctx *c = weir_ctx_with_cancel(parent);

        __asm__ volatile("");
        return c;
}

static __attribute__((noinline)) void careful(weir_ctx *parent)
{
        weir_ctx *c = weir_ctx_with_cancel(parent);

        weir_ctx_cancel(c);
}

static __attribute__((noinline)) weir_ctx *heavy(weir_ctx *parent)
{
        weir_ctx *c = weir_ctx_with_value(parent, &key, weir_new_bytes(100000));

        __asm__ volatile("");
        return c;
}

static __attribute__((noinline)) weir_ctx *callable(weir_ctx *parent)
{
        weir_ctx *c = weir_ctx_with_value(parent, &key, (void *)(uintptr_t)careful);

        __asm__ volatile("");
        return c;
}

static weir_ctx *kept;

WEIR_MAIN(argc, argv)
{
        kept = forget(NULL);
        forget(kept);
        careful(kept);
        heavy(kept);
        callable(kept);
        weir_ctx_value(weir_ctx_with_value(kept, &key, &kept), &key);
        return 4;
}
