/* What the files on bytes share. */
#ifndef WEIR_DATA_BYTES_H
#define WEIR_DATA_BYTES_H

#include "arch/arch.h"
#include <weir/bytes.h>

extern const struct bytes_ops weir__bytes_plain;

/* The chosen routines, on a page that is read-only after start. */
union bytes_page {
        struct bytes_ops ops;
        char             page[4096];
};
extern union bytes_page weir__bytes_page;
#define chosen weir__bytes_page.ops

/* Finds a needle of m bytes, 2 <= m <= n, in time proportional to n + m whatever they are. */
ptrdiff_t weir__bytes_find_linear(const uint8_t *s, size_t n, const uint8_t *needle, size_t m);

#endif
