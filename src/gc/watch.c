/* Memory without a barrier, beside the program: what was written since it was scanned.
 *
 * What    At the start of a cycle the kernel is asked to note writes to malloc's pages and those of
 *         plain objects; then they are scanned. What it tells of later is scanned again, in rounds
 *         beside the program while that finds much, and once more in the stop.
 *         Where the kernel cannot tell (before Linux 6.7, in a sandbox) all of it is scanned in the
 *         stop.
 * States  off      not tried yet
 *         refused  the kernel cannot; for good
 *         on       the first `watched` bytes of the heap are registered
 * Order   A round protects pages, then reads which blocks of malloc are free in caches, then scans.
 *         A store before the protection is seen by the scan, one after it by the next round.
 * Not     Watching typed objects too: they have a barrier, and their pages would cost a fault each.
 *         Globals: those of a small program are scanned in 60 us. */
#include "gc/gc.h"
#include "base/debug.h"
#include "os/os.h"

enum { OFF, REFUSED, ON };
enum { RANGES = 1 << 16 };

struct written {
        uintptr_t low, high;
};

static int             state;
static size_t          watched;         /* bytes of the heap that are registered */
static struct written *written;         /* of a round; RANGES of them */
static size_t          nwritten, pages;
static bool            lost;            /* one did not find room */

static bool prepare(void)
{
        uintptr_t low, high;

        if (state == OFF) {
                state = REFUSED;
                if (weir__debug.gcwatch && weir__os_dirty_open() == 0) {
                        written = weir__os_map(RANGES * sizeof *written);
                        if (written)
                                state = ON;
                        else
                                weir__os_dirty_close();
                }
        }
        if (state != ON)
                return false;
        weir__mem_extent(&low, &high);
        if (watched < high - low) {
                if (weir__os_dirty_watch(low + watched, high) < 0) {
                        weir__os_dirty_close();
                        state = REFUSED;
                        return false;
                }
                watched = high - low;
        }
        return true;
}

static void note(uintptr_t low, uintptr_t high, void *arg)
{
        (void)arg;
        pages += (high - low) / OS_PAGE;
        weir__mem_written(low, high);
        if (nwritten && written[nwritten - 1].high == low)
                written[nwritten - 1].high = high;
        else if (nwritten < RANGES)
                written[nwritten++] = (struct written){ low, high };
        else
                lost = true;
}

static void scan_protect(uintptr_t low, uintptr_t high, void *arg)
{
        const bool *protect = arg;
        uintptr_t   base, end;

        /* What the heap grew by meanwhile is not watched: taken as written. */
        weir__mem_extent(&base, &end);
        if (high > base + watched || weir__os_dirty_scan(low, high, *protect, note, NULL) < 0)
                note(low, high, NULL);
}

static void find_written(bool protect)
{
        nwritten = pages = 0;
        lost = false;
        weir__mem_each_watched(scan_protect, &protect);
}

static void again(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mark_again(arg, low, high, true);
}

static void again_plain(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mark_again(arg, low, high, false);
}

/* Scans what find_written() found. */
static void scan_written(struct marker *m, bool blocks)
{
        weir__exclude_look();
        if (blocks)
                weir__mark_skip_begin();
        if (lost)
                weir__mem_each_watched(blocks ? again : again_plain, m);
        else
                for (size_t i = 0; i < nwritten; i++)
                        weir__mark_again(m, written[i].low, written[i].high, blocks);
        if (blocks)
                weir__mark_skip_end();
}

bool weir__watch_is_on(void)
{
        return state == ON;
}

void weir__watch_begin(struct marker *m, bool minor)
{
        if (!prepare()) {
                lost = true;
                if (minor)
                        scan_written(m, true);
                return;
        }
        find_written(true);
        /* Plain objects that were born since the first stop, and filled in, are read by nobody
         * else; those that are not scanned yet will be. */
        scan_written(m, minor);
        if (minor)
                return;
        weir__exclude_look();
        weir__mark_skip_begin();
        weir__mark_malloc(m, false);
        weir__mark_skip_end();
}

size_t weir__watch_round(struct marker *m)
{
        if (!prepare())
                return 0;
        find_written(true);
        scan_written(m, true);
        return pages;
}

size_t weir__watch_end(struct marker *m)
{
        if (state == ON) {
                find_written(false);
        } else {
                lost = true;
                pages = 0;
        }
        scan_written(m, true);
        return pages;
}
