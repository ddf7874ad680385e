/* The start of the allocator, at the first allocation of the process, which may come from the
 * loader; and its end, when the program broke its rules. */
#include "mem/heap.h"
#include "base/counter.h"
#include "base/debug.h"
#include <stdlib.h>
#include <unistd.h>

#define CLASS(number, bytes, pages, objects, magic) \
        [number] = { bytes, pages, objects, UINT64_C(magic) },
const struct class weir__class[BINS] = {
#include "mem/class.def"
#undef CLASS
#define CLASS(number, bytes, pages, objects, magic) \
        [number + CLASSES - 1] = { bytes, pages, objects, UINT64_C(magic) },
#include "mem/class.def"
};
#undef CLASS

uint8_t  weir__class_fine[FINE_MAX / 8 + 1];
uint8_t  weir__class_coarse[SMALL_MAX / 128 + 1];
uint32_t weir__mem_mode;

enum { NOT_YET, UNDER_WAY, READY, IMPOSSIBLE };
static uint32_t start_state;            /* atomic */

static void fill_tables(void)
{
        unsigned class = 1;

        for (size_t i = 0; i < COUNT(weir__class_fine); i++) {
                while (weir__class[class].size < i * 8)
                        class++;
                store_relaxed(&weir__class_fine[i], (uint8_t)class);
        }
        class = 1;
        for (size_t i = 0; i < COUNT(weir__class_coarse); i++) {
                while (weir__class[class].size < i * 128)
                        class++;
                store_relaxed(&weir__class_coarse[i], (uint8_t)class);
        }
}

static uint32_t choose_mode(void)
{
        uint32_t mode = 0;

        if (WEIR_HARDEN || weir__debug_early("harden", 0))
                mode |= MODE_HARDEN;
        if (weir__debug_early("memtrace", 0))
                mode |= MODE_TRACE;
        if (weir__debug_early("tiny", 0))
                mode |= MODE_TINY;
        if (weir__debug_early("fail", 0))
                mode |= MODE_FAIL;
        return mode;
}

bool weir__mem_start(void)
{
        uint32_t state = load_acquire(&start_state);    /* pairs with the release below */

        if (likely(state == READY))
                return true;
        state = NOT_YET;
        if (!cas_acquire(&start_state, &state, UNDER_WAY)) {
                while ((state = load_acquire(&start_state)) == UNDER_WAY)
                        weir__spin_pause();
                return state == READY;
        }
        fill_tables();
        store_relaxed(&weir__mem_mode, choose_mode());
        if (!weir__page_init() || !weir__central_init()) {
                store_release(&start_state, IMPOSSIBLE);
                return false;
        }
        weir__cache_init();
        weir__stats_init();
        weir__limit_init();
        store_release(&start_state, READY);
        weir__mem_fork_init();              /* may allocate */
        return true;
}

#if !WEIR_MALLOC
/* Elsewhere the first allocation of the process does it. Here it could be one beside a fork that is
 * under way, which our handlers would come too late for: its child found locks taken. */
__attribute__((constructor)) static void start_early(void)
{
        (void)weir__mem_start();
}
#endif

_Noreturn void weir__mem_abort(const char *fmt, ...)
{
        struct out o = { .fd = STDERR_FILENO };
        va_list    ap;

        weir__out_print(&o, "fatal: ");
        va_start(ap, fmt);
        weir__out_vprint(&o, fmt, ap);
        va_end(ap);
        weir__out_print(&o, "\n");
        weir__out_flush(&o);
        abort();
}
