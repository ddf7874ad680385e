/* The tables of a map: filling, growing, splitting, merging. See map.c.
 *
 * Cost    Each entry is moved about twice on its way into a table of full size and once per split,
 *         inside of some 100 KiB, so that moving costs no misses. A table of full size that is
 *         split, or merged, gives its memory back at once, unless an iteration was in it.
 *         A split takes 30 to 60 us. What makes an insertion wait longer is memory that the kernel,
 *         or the host below it, has yet to find: 2 to 4 us for a page of 4 KiB, of which a split
 *         takes 34 for each half, and 160 us for a huge one, 5 ms where the host must fetch it.
 *         With small pages alone (WEIR_DEBUG=hugepage=0) the longest of 10^7 insertions was 0.7 ms
 *         where it was 2 to 7 with huge ones, on a busy machine; but then look-ups miss the TLB. */
#include "data/map.h"
#include "os/os.h"
#include <unistd.h>

static const uint8_t no_ctrl[GROUP] __attribute__((aligned(16))) = {
        WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_,
        WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_,
        WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_,
        WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_, WEIR_MAP_EMPTY_,
};
static const weir_map_ref_           no_ref = { (uint8_t *)(uintptr_t)no_ctrl, 0 };
static const struct weir_map_table_  no_table = { .ctrl = (uint8_t *)(uintptr_t)no_ctrl };
static const struct weir_map_table_ *no_tables = &no_table;

void weir__map_reset(weir_map *m)
{
        m->refs_ = (weir_map_ref_ *)(uintptr_t)&no_ref;
        m->tables_ = (struct weir_map_table_ **)(uintptr_t)&no_tables;
        m->shift_ = 60;
        m->depth_ = m->deepest_ = m->ntables_ = 0;
        m->len_ = 0;
}

/* How many of the slots may be filled: one group may be full, for its search ends after it. */
static inline uint32_t capacity(uint32_t slots)
{
        return slots <= GROUP ? slots : slots / 8 * 7;
}

static struct weir_map_table_ *table_new(const weir_map *m, uint32_t slots, uint32_t depth)
{
        struct weir_map_table_ *t = weir__gc_new(MEM_PLAIN, sizeof *t);
        uint32_t                groups = (slots + GROUP - 1) / GROUP;
        size_t                  front = slots_bytes(slots, m->slot_size_), bytes;
        char                   *memory;

        t->slots = slots;
        t->mask = groups - 1;
        t->left = capacity(slots);
        t->depth = depth;
        t->clears = m->clears_;
        bytes = (size_t)groups * GROUP + front;
        t->least = bytes > SPARED ? slots / 16 : 0;
        t->least = MAX(t->least, (uint32_t)(depth || slots > GROUP));
        memory = m->noscan_ ? weir__gc_new_dirty(bytes) : weir__gc_new(MEM_PLAIN, bytes);
        t->ctrl = (uint8_t *)memory + front;
        memset(t->ctrl, WEIR_MAP_EMPTY_, (size_t)groups * GROUP);
        if (slots < GROUP)
                memset(t->ctrl + slots, WEIR_MAP_NEVER_, GROUP - slots);
        return t;
}

static void retire(const weir_map *m, struct weir_map_table_ *t)
{
        t->stale = 1;
        if (load_relaxed(&t->visited))
                return;
        weir__mem_drop(table_memory(t, m->slot_size_));
        weir__mem_drop(t);
}

/* ---- the directory ---- */

/* Replaces the directory by one of 2^depth, whose tables are put in by the caller. */
static void directory_new(weir_map *m, uint32_t depth)
{
        size_t n = (size_t)1 << depth;

        m->refs_ = weir__gc_new(MEM_PLAIN, n * (sizeof *m->refs_ + sizeof *m->tables_));
        m->tables_ = (struct weir_map_table_ **)(void *)(m->refs_ + n);
        m->depth_ = depth;
        m->shift_ = (uint8_t)(60 - depth);
}

static void directory_resize(weir_map *m, uint32_t depth)
{
        weir_map_ref_           *refs = m->refs_;
        struct weir_map_table_ **tables = m->tables_;
        uint32_t                 before = m->depth_;

        directory_new(m, depth);
        for (size_t i = 0; i < (size_t)1 << depth; i++) {
                size_t old = depth > before ? i >> (depth - before) : i << (before - depth);

                m->refs_[i] = refs[old];
                m->tables_[i] = tables[old];
        }
        weir__mem_drop(refs);
}

/* Lists the table for all hashes that share its depth's bits with h. */
static void directory_set(weir_map *m, struct weir_map_table_ *t, uint64_t h)
{
        size_t n = (size_t)1 << (m->depth_ - t->depth), first = map_index(m, h) & ~(n - 1);

        for (size_t i = first; i < first + n; i++) {
                m->refs_[i] = (weir_map_ref_){ t->ctrl, (uint64_t)t->mask * GROUP };
                m->tables_[i] = t;
        }
}

/* ---- moving ---- */

static inline uint32_t free_bits(const uint8_t *ctrl)
{
        weir_group_ g = weir_group_load_(ctrl);

        return weir_group_match_(g, WEIR_MAP_EMPTY_) | weir_group_match_(g, WEIR_MAP_DELETED_);
}

/* The first slot free for a hash; there is one. */
static size_t free_slot(const struct weir_map_table_ *t, uint64_t h)
{
        uint64_t at = (h >> 7) & t->mask, step = 0;
        uint32_t bits;

        while (!(bits = free_bits(t->ctrl + GROUP * at)))
                at = (at + ++step) & t->mask;
        return GROUP * at + (unsigned)__builtin_ctz(bits);
}

static inline __attribute__((always_inline)) void copy_slot(char *to, const char *from, size_t size)
{
        if (size == 16)
                memcpy(to, from, 16);
        else if (size == 8)
                memcpy(to, from, 8);
        else
                memcpy(to, from, size);
}

/* How many slots of each group of a table without holes are filled: the first ones. */
static void count_filled(const struct weir_map_table_ *t, uint8_t *ret)
{
        memset(ret, 0, (size_t)t->mask + 1);
        for (size_t g = 0; t->live && g <= t->mask; g++)
                while (ret[g] < GROUP && t->ctrl[GROUP * g + ret[g]] < 0x80)
                        ret[g]++;
}

/* Copies all entries to one of two tables by a bit of their hashes; to the same, if it is. Both
 * have been filled by this alone, so that their groups have no holes, and counting what is in them
 * saves looking at control bytes that were written a moment ago: a load of sixteen waits for the
 * store of one among them. */
static inline __attribute__((always_inline)) void
move_by(weir_map *m, const struct weir_map_table_ *from, struct weir_map_table_ *const to[2],
        unsigned bit, uint64_t (*hash)(const void *, const weir_map *))
{
        size_t      size = m->slot_size_;
        uint8_t     filled[2][GROUPS_COUNTED], *const fill[2] = { filled[0],
                                                                  filled[to[0] != to[1]] };
        uint32_t    all = 0, second = 0;
        bool        counted = to[0]->mask < GROUPS_COUNTED;

        if (counted)
                for (int i = 0; i < 2; i++)
                        count_filled(to[i], fill[i]);
        for (size_t group = 0; group <= from->mask; group++) {
                uint32_t bits = weir_group_full_(weir_group_load_(from->ctrl + GROUP * group));

                for (; bits; bits &= bits - 1) {
                        size_t                  at = GROUP * group + (unsigned)__builtin_ctz(bits);
                        const char             *slot = slot_at(from, at, size);
                        uint64_t                h = hash(slot, m);
                        unsigned                k = h >> bit & 1;
                        struct weir_map_table_ *t = to[k];
                        size_t                  i = (h >> 7) & t->mask, step = 0;

                        if (likely(counted)) {
                                while (unlikely(fill[k][i] == GROUP))
                                        i = (i + ++step) & t->mask;
                                i = GROUP * i + fill[k][i]++;
                        } else {
                                i = free_slot(t, h);
                        }
                        t->ctrl[i] = h & 0x7f;
                        copy_slot(slot_at(t, i, size), slot, size);
                        all++;
                        second += k;
                }
        }
        for (int i = 0; i < 2; i++) {
                to[i]->live += i ? second : all - second;
                to[i]->left -= i ? second : all - second;
                moved(m->noscan_ ? MEM_NOSCAN : MEM_PLAIN, table_memory(to[i], size),
                      to[i]->slots * size);
        }
}

static void move(weir_map *m, const struct weir_map_table_ *from,
                 struct weir_map_table_ *const to[2], unsigned bit)
{
#define CALL(kind)                                              \
        do {                                                    \
                move_by(m, from, to, bit, hash_##kind);         \
                return;                                         \
        } while (0)
        MAP_CALL(m, CALL);
#undef CALL
}

/* A fresh table of so many slots in the place of t. */
static struct weir_map_table_ *replace(weir_map *m, struct weir_map_table_ *t, uint64_t h,
                                       uint32_t slots)
{
        struct weir_map_table_ *fresh = table_new(m, slots, t->depth);

        move(m, t, (struct weir_map_table_ *const[2]){ fresh, fresh }, 0);
        directory_set(m, fresh, h);
        retire(m, t);
        m->epoch_++;
        weir__count(map_moves, 1);
        return fresh;
}

/* Two in the place of t, by the next bit of the hashes. */
static void split(weir_map *m, struct weir_map_table_ *t, uint64_t h)
{
        uint32_t                depth = t->depth + 1;
        unsigned                bit = 64 - depth;
        struct weir_map_table_ *half[2] = { table_new(m, m->slots_max_, depth),
                                            table_new(m, m->slots_max_, depth) };

        move(m, t, half, bit);
        if (depth > m->depth_) {
                directory_resize(m, depth);
                m->deepest_ = 0;
        }
        directory_set(m, half[0], h & ~(UINT64_C(1) << bit));
        directory_set(m, half[1], h | UINT64_C(1) << bit);
        if (depth == m->depth_)
                m->deepest_ += 2;
        m->ntables_++;
        retire(m, t);
        m->epoch_++;
        weir__count(map_splits, 1);
}

/* Whether splitting gets anywhere: hashes that share too many first bits make a directory of mostly
 * the same tables, and then larger tables are better. */
static bool may_split(const weir_map *m, const struct weir_map_table_ *t)
{
        size_t doubled = (size_t)1 << (m->depth_ + 1);

        return t->slots == m->slots_max_ &&
               (t->depth < m->depth_ || doubled <= 16 * ((size_t)m->ntables_ + 1));
}

static slowpath void grow(weir_map *m, uint64_t h)
{
        struct weir_map_table_ *t = m->tables_[map_index(m, h)];

        if (!t->slots) {
                directory_new(m, 0);
                m->ntables_ = 1;
                m->deepest_ = 1;
                directory_set(m, table_new(m, SLOTS_FIRST, 0), h);
        } else if ((uint64_t)t->live * 32 <= (uint64_t)capacity(t->slots) * 25 &&
                   t->slots > GROUP) {
                replace(m, t, h, t->slots);             /* many were deleted */
        } else if (may_split(m, t)) {
                split(m, t, h);
        } else {
                if (t->slots > UINT32_MAX / 4)
                        weir_panic("map: %u entries have nearly the same hash", t->live);
                replace(m, t, h, t->slots * 2);
        }
}

/* ---- one entry ---- */

void *weir_map_add_(weir_map *m, uint64_t h)
{
        for (;;) {
                struct weir_map_table_ *t = m->tables_[map_index(m, h)];
                uint64_t                at = (h >> 7) & t->mask, step = 0;
                uint32_t                bits = 0;
                size_t                  i;

                if (likely(t->slots))
                        while (!(bits = free_bits(t->ctrl + GROUP * at)) && ++step <= t->mask)
                                at = (at + step) & t->mask;
                if (likely(bits)) {
                        i = GROUP * at + (unsigned)__builtin_ctz(bits);
                        if (likely(t->left) || t->ctrl[i] == WEIR_MAP_DELETED_) {
                                t->left -= t->ctrl[i] == WEIR_MAP_EMPTY_;
                                t->ctrl[i] = h & 0x7f;
                                t->live++;
                                m->len_++;
                                return slot_at(t, i, m->slot_size_);
                        }
                }
                grow(m, h);
        }
}

static struct weir_map_table_ *replace_smaller(weir_map *m, struct weir_map_table_ *t, uint64_t h)
{
        uint32_t least = t->depth ? m->slots_max_ : SLOTS_FIRST;

        if (t->slots <= least || (t->live && t->live >= t->slots / 16))
                return t;
        return replace(m, t, h, t->live ? MAX(t->slots / 8, least) : least);
}

/* Makes t smaller, where it is much larger than it need be, and merges it with its neighbour, as
 * long as both are nearly empty. Thresholds are so low that an entry is moved by this less than
 * once. A table whose neighbour is too full for it asks again when it has lost another eighth; with
 * less than a 32nd of its slots filled, at each deletion. */
slowpath void weir_map_shrink_(weir_map *m, struct weir_map_table_ *t, uint64_t h)
{
        t = replace_smaller(m, t, h);
        while (t->depth && t->slots == m->slots_max_) {
                uint64_t                bit = UINT64_C(1) << (64 - t->depth);
                struct weir_map_table_ *other = m->tables_[map_index(m, h ^ bit)], *whole;

                if (other->depth != t->depth || other->slots != t->slots ||
                    t->live + other->live > t->slots * 3 / 32) {
                        t->least = MAX(MIN(t->least, t->live) / 8 * 7, t->slots / 32);
                        t->least = MAX(t->least, 1u);
                        return;
                }
                whole = table_new(m, t->slots, t->depth - 1);
                move(m, t, (struct weir_map_table_ *const[2]){ whole, whole }, 0);
                move(m, other, (struct weir_map_table_ *const[2]){ whole, whole }, 0);
                directory_set(m, whole, h);
                m->ntables_--;
                if (t->depth == m->depth_ && !(m->deepest_ -= 2)) {
                        uint32_t depth = 0;

                        for (size_t i = 0; i < (size_t)1 << m->depth_; i++)
                                depth = MAX(depth, m->tables_[i]->depth);
                        directory_resize(m, depth);
                        for (size_t i = 0; i < (size_t)1 << depth; i++)
                                m->deepest_ += m->tables_[i]->depth == depth;
                }
                retire(m, t);
                retire(m, other);
                m->epoch_++;
                weir__count(map_merges, 1);
                t = replace_smaller(m, whole, h);
        }
}

/* Slots of two words without pointers need neither a division nor a call. */
void weir__map_remove(weir_map *m, uint64_t h, void *slot)
{
        if (m->slot_size_ == 16 && m->noscan_)
                weir_map_take_out_(m, h, slot, 16, true);
        else
                weir_map_take_out_(m, h, slot, m->slot_size_, m->noscan_);
}

/* ---- all ---- */

void weir__map_presize(weir_map *m, size_t hint)
{
        size_t   most = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
        size_t   full = capacity(m->slots_max_), each = full;
        uint32_t slots = SLOTS_FIRST, depth = 0;

        if (hint > most / (m->slot_size_ + 1))
                return;
        while (slots < m->slots_max_ && capacity(slots) < hint)
                slots *= 2;
        /* Tables are filled unevenly, by about the root of what is in them: room for six of
         * these. */
        for (size_t root = 1; root * root < each; root++)
                if ((root + 1) * (root + 1) >= each)
                        full = each > 6 * root ? each - 6 * root : 1;
        if (hint > each)
                while (hint >> depth > full)
                        depth++;
        directory_new(m, depth);
        for (uint64_t i = 0; i < UINT64_C(1) << depth; i++)
                directory_set(m, table_new(m, slots, depth), depth ? i << (64 - depth) : 0);
        m->ntables_ = m->deepest_ = 1u << depth;
}

void weir__map_drop_all(weir_map *m)
{
        size_t n = m->ntables_ ? (size_t)1 << m->depth_ : 0;

        for (size_t i = 0; i < n;) {
                struct weir_map_table_ *t = m->tables_[i];

                i += (size_t)1 << (m->depth_ - t->depth);
                retire(m, t);
        }
        if (n)
                weir__mem_drop(m->refs_);
        weir__map_reset(m);
        m->epoch_++;
        m->clears_++;
}

bool weir__map_check(const weir_map *m)
{
        size_t n = m->ntables_ ? (size_t)1 << m->depth_ : 0, tables = 0, deepest = 0, len = 0;

        for (size_t i = 0; i < n;) {
                const struct weir_map_table_ *t = m->tables_[i];
                size_t same = (size_t)1 << (m->depth_ - t->depth), live = 0, empty = 0;

                if (t->depth > m->depth_ || t->stale || i % same)
                        return false;
                for (size_t k = i; k < i + same; k++)
                        if (m->tables_[k] != t || m->refs_[k].ctrl != t->ctrl ||
                            m->refs_[k].mask != (uint64_t)t->mask * GROUP)
                                return false;
                for (size_t k = 0; k < t->slots; k++) {
                        const char *slot = slot_at(t, k, m->slot_size_);

                        empty += t->ctrl[k] == WEIR_MAP_EMPTY_;
                        if (t->ctrl[k] >= 0x80)
                                continue;
                        live++;
                        if (map_hash(m, slot) << 57 >> 57 != t->ctrl[k] ||
                            map_index(m, map_hash(m, slot)) / same != i / same)
                                return false;
                }
                if (live != t->live || t->left > empty ||
                    (t->slots > GROUP && t->left + t->slots / 8 < empty))
                        return false;
                tables++;
                deepest += t->depth == m->depth_;
                len += live;
                i += same;
        }
        return tables == m->ntables_ && deepest == m->deepest_ && len == m->len_;
}
