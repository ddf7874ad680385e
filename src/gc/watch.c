/* Memory without a barrier, beside the program: what was written since it was scanned.
 *
 * What    At the start of a cycle the kernel is asked to note writes to malloc's pages and those of
 *         plain objects; then they are scanned. What it tells of later is scanned again, in rounds
 *         beside the program while that finds much, and once more in the stop.
 *         Where the kernel cannot tell (before Linux 6.7, in a sandbox) all of it is scanned in the
 *         stop.
 * Minor collections
 *         scan what was written since the last cycle stopped the world for the first time: what was
 *         written before that points to what that cycle made old, but what came after may be all
 *         that leads to an object that was born meanwhile, and is young still. So pages are asked
 *         for once more shortly before the first stop; those told of later in a cycle are carried,
 *         to be scanned in the next one too.
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

struct range {
        uintptr_t low, high;
};

struct list {
        struct range *range;            /* RANGES of them */
        size_t        n, pages;
        bool          lost;             /* one did not find room */
};

static int         state;
static size_t      watched;             /* bytes of the heap that are registered */
static struct list before;              /* before the first stop of a cycle */
static struct list written;             /* in a round */
static struct list carried[2];          /* in the cycle before this one, and in this one */
static unsigned    carry;               /* which is this one's */

static bool prepare(void)
{
        uintptr_t low, high;

        if (state == OFF) {
                state = REFUSED;
                if (weir__debug.gcwatch && weir__os_dirty_open() == 0) {
                        struct range *r = weir__os_map(4 * RANGES * sizeof *r);

                        if (r) {
                                before.range = r;
                                written.range = r + RANGES;
                                carried[0].range = r + 2 * RANGES;
                                carried[1].range = r + 3 * RANGES;
                                state = ON;
                        } else {
                                weir__os_dirty_close();
                        }
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

static void add(struct list *l, uintptr_t low, uintptr_t high)
{
        l->pages += (high - low) / OS_PAGE;
        if (l->n && l->range[l->n - 1].high == low)
                l->range[l->n - 1].high = high;
        else if (l->n < RANGES)
                l->range[l->n++] = (struct range){ low, high };
        else
                l->lost = true;
}

static void clear(struct list *l)
{
        l->n = l->pages = 0;
        l->lost = false;
}

static void note(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mem_written(low, high);
        add(arg, low, high);
}

struct search {
        struct list *list;
        bool         protect;
};

static void search_range(uintptr_t low, uintptr_t high, void *arg)
{
        const struct search *s = arg;
        uintptr_t            base, end;

        /* What the heap grew by meanwhile is not watched: taken as written. */
        weir__mem_extent(&base, &end);
        if (high > base + watched ||
            weir__os_dirty_scan(low, high, s->protect, note, s->list) < 0)
                note(low, high, s->list);
}

/* What was written since it was protected last. protect: anew, so that it counts once. */
static void search(struct list *l, bool protect)
{
        struct search s = { l, protect };

        clear(l);
        weir__mem_each_watched(search_range, &s);
}

static void again(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mark_again(arg, low, high, true);
}

static void again_plain(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mark_again(arg, low, high, false);
}

static void scan_list(struct marker *m, const struct list *l, bool blocks)
{
        if (l->lost)
                weir__mem_each_watched(blocks ? again : again_plain, m);
        else
                for (size_t i = 0; i < l->n; i++)
                        weir__mark_again(m, l->range[i].low, l->range[i].high, blocks);
}

/* Plain objects that were written, and blocks of malloc. */
static void scan_written(struct marker *m)
{
        weir__exclude_look();
        weir__mark_skip_begin();
        scan_list(m, &written, true);
        weir__mark_skip_end();
}

/* What was written after the first stop. */
static void search_and_carry(void)
{
        search(&written, true);
        if (!weir__mem_sticky)
                return;
        for (size_t i = 0; i < written.n; i++)
                add(&carried[carry], written.range[i].low, written.range[i].high);
        carried[carry].lost |= written.lost;
}

bool weir__watch_is_whole(void)
{
        return state == ON && !carried[carry].lost;
}

void weir__watch_before(void)
{
        if (!prepare())
                return;
        carry = !carry;
        clear(&carried[carry]);
        search(&before, true);
}

void weir__watch_begin(struct marker *m, bool minor)
{
        bool on = prepare();

        if (on)
                search_and_carry();
        else if (minor)
                written.lost = true;
        else
                return;                         /* all is left to the stop */
        weir__exclude_look();
        weir__mark_skip_begin();
        if (minor && on) {
                scan_list(m, &before, true);
                scan_list(m, &carried[!carry], true);
        }
        /* In a full one: plain objects that were born since the first stop, and filled in, are read
         * by nobody else; those that are not scanned yet will be. */
        scan_list(m, &written, minor);
        if (!minor)
                weir__mark_malloc(m, false);
        weir__mark_skip_end();
}

size_t weir__watch_round(struct marker *m)
{
        if (!prepare())
                return 0;
        search_and_carry();
        scan_written(m);
        return written.pages;
}

size_t weir__watch_end(struct marker *m)
{
        if (state == ON) {
                search(&written, false);
        } else {
                clear(&written);
                written.lost = true;
        }
        scan_written(m);
        return written.pages;
}
