/* What weir layout knows of a struct; dwarf.c reads it, order.c looks for a better order, layout.c
 * prints both. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "cmd.h"

enum { LINE_BYTES = 64 };               /* of a cache */

/* A member, or a run of bit-fields, which stay together. */
struct field {
        char    *name;
        char    *type;
        uint64_t offset, size, align;   /* bytes */
        bool     hot;                   /* its line says so in a comment */
        bool     last;                  /* an array without a length: nothing can follow */
};

struct layout {
        char         *name;             /* "struct NAME", or the typedef's name */
        char         *file;
        unsigned      line;
        uint64_t      size, align;
        bool          packed;           /* a member lies where its type forbids */
        struct field *fields;           /* by offset */
        size_t        n;
};

/* ---- dwarf.c ---- */

struct layouts {
        struct layout *v;
        size_t         n;
};

/* Adds the structs that the debugging information in file tells of, once each. Ends with a message
 * if it cannot be read. */
void dwarf_read(const char *file, struct layouts *to);

/* ---- order.c ---- */

/* An order of the fields and what it leads to. */
struct order {
        size_t  *at;                    /* which field comes first, second, ... */
        uint64_t size;
        uint64_t lines_best, lines_worst;       /* cache lines with a hot field in them; 0: none */
};

/* As they are. */
void order_now(const struct layout *l, struct order *ret);

/* The smallest there is; hot: with the hot fields in front, then the smallest. */
void order_best(const struct layout *l, bool hot, struct order *ret);

/* Bytes of the struct that no field uses. */
uint64_t order_padding(const struct layout *l, uint64_t size);

#endif
