/* Iteration of a map.
 *
 * What    The hashes of all entries make a circle, of which each table has an arc. An iteration
 *         begins at the arc of a random table and goes round, an arc at a time; within it, from a
 *         random group on. That it needs no more than the place on the circle makes it stand
 *         splits, merges and changes of the directory: what was met has a hash in the part gone by,
 *         wherever its entry is by then.
 * States  While it is in a table that was replaced meanwhile, it reads on in that one, which does
 *         not change any more, and looks each key up in the map: what is gone is passed over, what
 *         has a new value is met with that. A key that does not equal itself (NaN) cannot be
 *         found, nor deleted but by a clear: it is met as it was.
 * Not     Stopping the tables from moving meanwhile: nobody says when an iteration ends early.
 *         Copying keys: the iteration would need memory. */
#include "data/map.h"

enum { BEFORE, INSIDE, OVER };

/* How long a table's arc is, less one; the arc begins at a multiple of its length. */
static inline uint64_t arc(const struct weir_map_table_ *t)
{
        return ~UINT64_C(0) >> t->depth;
}

static inline void open_group(weir_map_iter *it, const struct weir_map_table_ *t)
{
        size_t first = GROUP * (size_t)((it->group_ + it->offset_) & t->mask);

        it->slots_ = slot_at(t, first, it->map->slot_size_);
        it->bits_ = weir_group_full_(weir_group_load_(t->ctrl + first));
}

/* Goes into the table whose arc holds the hash from, and stays in the arc up to where it began.
 * Where that is not all of the table's arc, an epoch that is over has every entry asked. */
static void enter(weir_map_iter *it, uint64_t from)
{
        const weir_map         *m = it->map;
        struct weir_map_table_ *t = m->tables_[map_index(m, from)];
        uint64_t                rest = arc(t);

        if (!load_relaxed(&t->visited))
                store_relaxed(&t->visited, 1);
        it->table_ = t;
        it->from_ = from;
        it->to_ = from | rest;
        if (it->start_ > from && it->start_ <= it->to_)
                it->to_ = it->start_ - 1;
        it->epoch_ = from & rest || it->to_ != (from | rest) ? m->epoch_ - 1 : m->epoch_;
        it->offset_ = (uint32_t)weir__map_random();
        it->group_ = 0;
        open_group(it, t);
}

/* Whether the entry is to be met, which then is at *slot: asked when the map has changed since, or
 * the table has a larger arc than what is left. */
static slowpath bool still(const weir_map_iter *it, void **slot)
{
        const weir_map               *m = it->map;
        const struct weir_map_table_ *t = it->table_;
        uint64_t                      h = map_hash(m, *slot);
        void                         *now;

        if (h < it->from_ || h > it->to_)
                return false;
        if (!t->stale)
                return t->ctrl[slot_index(t, *slot, m->slot_size_)] < 0x80;
        now = map_find(m, h, *slot);
        if (!now)
                return t->clears == m->clears_ && !map_equal(m, *slot, *slot);
        *slot = now;
        return true;
}

bool weir_map_step_(weir_map_iter *it, void **ret_slot)
{
        const weir_map *m = it->map;

        if (unlikely(it->state_ != INSIDE)) {
                if (it->state_ == OVER || !m || !m->ntables_) {
                        it->state_ = OVER;
                        return false;
                }
                weir_map_check_(m);
                it->state_ = INSIDE;
                it->start_ = weir__map_random();
                it->start_ &= ~arc(m->tables_[map_index(m, it->start_)]);
                enter(it, it->start_);
        }
        weir_map_check_(m);
        for (;;) {
                const struct weir_map_table_ *t = it->table_;

                for (;; it->group_++, open_group(it, t)) {
                        while (it->bits_) {
                                unsigned i = (unsigned)__builtin_ctz(it->bits_);

                                it->bits_ &= it->bits_ - 1;
                                *ret_slot = (char *)it->slots_ - i * m->slot_size_;
                                if (likely(it->epoch_ == m->epoch_) || still(it, ret_slot))
                                        return true;
                        }
                        if (it->group_ == t->mask)
                                break;
                }
                if (it->to_ + 1 == it->start_ || !m->ntables_) {
                        it->state_ = OVER;
                        it->table_ = NULL;
                        return false;
                }
                enter(it, it->to_ + 1);
        }
}

bool weir_map_next(weir_map_iter *it, void *ret_key, void *ret_val)
{
        const weir_map *m = it->map;
        void           *slot;

        if (!weir_map_step_(it, &slot))
                return false;
        if (ret_key)
                memcpy(ret_key, slot, m->key_size_);
        if (ret_val)
                memcpy(ret_val, (char *)slot + m->val_offset_, m->val_size_);
        return true;
}
