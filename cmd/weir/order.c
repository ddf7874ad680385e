/* Better orders of a struct's fields.
 *
 * What    A field whose size is a multiple of its alignment leaves the next offset aligned to as
 *         much. So fields by falling alignment need no padding between them, and no order is
 *         smaller. Where a field is smaller than its alignment (_Alignas) or begins in the middle
 *         (behind hot fields), the next one is chosen that needs least padding, and of those the
 *         one with the largest alignment; among equals the order of the source stays.
 * Cost    Quadratic in the number of fields.
 * Not     Trying all orders: where the choice above is not the best, it misses by a few bytes, in
 *         structs that were aligned by hand. */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

static uint64_t up(uint64_t n, uint64_t align)
{
        return (n + align - 1) / align * align;
}

uint64_t order_padding(const struct layout *l, uint64_t size)
{
        for (size_t i = 0; i < l->n; i++)
                size -= l->fields[i].size;
        return size;
}

/* How many cache lines hold hot fields, if an object begins so many bytes into a line. */
static uint64_t lines_at(const struct layout *l, const uint64_t *offset, uint64_t base)
{
        uint64_t total = (base + l->size * 2) / LINE_BYTES + 2, n = 0;
        bool    *touched = allocate(total);

        for (size_t i = 0; i < l->n; i++) {
                const struct field *f = &l->fields[i];
                uint64_t            first = base + offset[i], end = first + f->size;

                if (f->hot && f->size)
                        for (uint64_t k = first / LINE_BYTES; k <= (end - 1) / LINE_BYTES; k++)
                                if (k < total)
                                        touched[k] = true;
        }
        for (uint64_t k = 0; k < total; k++)
                n += touched[k];
        free(touched);
        return n;
}

/* offset: by field, not by place. */
static void count_lines(const struct layout *l, const uint64_t *offset, struct order *o)
{
        o->lines_best = UINT64_MAX;
        o->lines_worst = 0;
        for (uint64_t base = 0; base < LINE_BYTES; base += l->align < 1 ? 1 : l->align) {
                uint64_t n = lines_at(l, offset, base);

                o->lines_best = n < o->lines_best ? n : o->lines_best;
                o->lines_worst = n > o->lines_worst ? n : o->lines_worst;
        }
}

void order_now(const struct layout *l, struct order *ret)
{
        uint64_t *offset = allocate((l->n + 1) * sizeof *offset);

        ret->at = allocate((l->n + 1) * sizeof *ret->at);
        ret->size = l->size;
        for (size_t i = 0; i < l->n; i++) {
                ret->at[i] = i;
                offset[i] = l->fields[i].offset;
        }
        count_lines(l, offset, ret);
        free(offset);
}

/* The unplaced field of this heat to come next at this offset; n: none is left. */
static size_t choose(const struct layout *l, const bool *placed, int hot, uint64_t at)
{
        size_t best = l->n;

        for (size_t i = 0; i < l->n; i++) {
                const struct field *f = &l->fields[i], *b = &l->fields[best < l->n ? best : i];
                uint64_t            pad = up(at, f->align) - at, least = up(at, b->align) - at;

                if (placed[i] || f->last || (hot >= 0 && f->hot != hot))
                        continue;
                if (best == l->n || pad < least || (pad == least && f->align > b->align))
                        best = i;
        }
        return best;
}

void order_best(const struct layout *l, bool hot, struct order *ret)
{
        uint64_t *offset = allocate((l->n + 1) * sizeof *offset), at = 0;
        bool     *placed = allocate(l->n + 1);
        size_t    n = 0;

        ret->at = allocate((l->n + 1) * sizeof *ret->at);
        for (int heat = hot ? 1 : -1; heat >= -1; heat -= hot ? 1 : 2) {
                size_t i;

                while ((i = choose(l, placed, heat, at)) < l->n) {
                        at = up(at, l->fields[i].align);
                        offset[i] = at;
                        at += l->fields[i].size;
                        placed[i] = true;
                        ret->at[n++] = i;
                }
        }
        for (size_t i = 0; i < l->n; i++)
                if (!placed[i]) {
                        at = up(at, l->fields[i].align);
                        offset[i] = at;
                        at += l->fields[i].size;
                        ret->at[n++] = i;
                }
        ret->size = up(at, l->align);
        count_lines(l, offset, ret);
        free(offset);
        free(placed);
}
