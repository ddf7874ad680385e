/* weir/bytes.h: searching, comparing and taking apart memory and text.
 *
 * Memory is an address and a length; zero bytes are bytes like others, and an address is not looked
 * at when its length is 0. Text is UTF-8, and nothing here needs it to be valid unless it says so.
 * The routines run on as wide registers as the processor has (see weir/cpu.h); searching for a
 * needle takes time proportional to both lengths whatever they hold.
 *
 * A weir_view is a part of memory that belongs to somebody else. Splitting gives views and copies
 * nothing.
 *
 * All of them: Parks: no. From: any thread, before weir_run too. Fails: never. A bad address is a
 * fault like any other. Those that make collected memory (splitting into slices, the builder) panic
 * when there is more of it than there can be.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_view rest = weir_view_of("name=weir"), name;
 *
 *                 weir_bytes_cut(&rest, "=", 1, &name);
 *                 return weir_view_equal(name, weir_view_of("name")) &&
 *                        weir_view_equal(rest, weir_view_of("weir")) ? EXIT_SUCCESS : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_BYTES_H
#define WEIR_BYTES_H

#include <string.h>
#include <weir/base.h>
#include <weir/slice.h>

WEIR_DECLS_BEGIN

/* ---- searching ---- */

/* Returns where b first is among the n bytes at s, -1: nowhere. */
WEIR_API ptrdiff_t weir_bytes_index(const void *s, size_t n, uint8_t b);

/* Returns where b last is, -1: nowhere. */
WEIR_API ptrdiff_t weir_bytes_last_index(const void *s, size_t n, uint8_t b);

/* Returns where any of the m bytes at set first is, -1: nowhere. */
WEIR_API ptrdiff_t weir_bytes_index_any(const void *s, size_t n, const void *set, size_t m);

/* Returns where the m bytes at needle first are, -1: nowhere. Nothing is found at 0. */
WEIR_API ptrdiff_t weir_bytes_find(const void *s, size_t n, const void *needle, size_t m);

/* Returns where they last are, -1: nowhere. Nothing is found at n. */
WEIR_API ptrdiff_t weir_bytes_find_last(const void *s, size_t n, const void *needle, size_t m);

/* Returns how many of the bytes are b. */
WEIR_API size_t weir_bytes_count(const void *s, size_t n, uint8_t b);

/* ---- comparing ---- */

/* Whether the n bytes at a are those at b. */
WEIR_API bool weir_bytes_equal(const void *a, const void *b, size_t n);

/* Returns a negative number, 0 or a positive one as a stands before, with or after b in the order
 * of their first different bytes, a shorter one before what it begins. */
WEIR_API int weir_bytes_compare(const void *a, size_t na, const void *b, size_t nb);

/* Whether they are equal when the letters A to Z count as a to z; other bytes as they are. */
WEIR_API bool weir_bytes_equal_fold(const void *a, const void *b, size_t n);

/* Whether the n bytes at s begin, or end, with the m bytes at part. */
WEIR_API bool weir_bytes_has_prefix(const void *s, size_t n, const void *part, size_t m);
WEIR_API bool weir_bytes_has_suffix(const void *s, size_t n, const void *part, size_t m);

/* ---- changing ---- */

/* Writes the n bytes at s to to, the letters A to Z as a to z, or the other way round. to may be s;
 * else the two must not overlap. */
WEIR_API void weir_bytes_lower(void *to, const void *s, size_t n);
WEIR_API void weir_bytes_upper(void *to, const void *s, size_t n);

/* Turns the order of the bytes round, in place. */
WEIR_API void weir_bytes_reverse(void *s, size_t n);

/* ---- UTF-8 ---- */

/* Whether the bytes are valid UTF-8: shortest forms, no surrogates, nothing above U+10FFFF. */
WEIR_API bool weir_utf8_valid(const void *s, size_t n);

/* Returns the number of characters; each byte that is part of none counts as one. */
WEIR_API size_t weir_utf8_count(const void *s, size_t n);

/* Stores the character at the start in *ret and returns its length in bytes; for a byte that starts
 * none, U+FFFD and 1. 0 if n is 0. */
WEIR_API size_t weir_utf8_decode(const void *s, size_t n, uint32_t *ret);

/* Turns the order of the characters round, in place; a byte that is part of none moves as one. */
WEIR_API void weir_utf8_reverse(void *s, size_t n);

/* ---- taking apart ---- */

/* A part of somebody else's memory; it must not outlive it. */
typedef struct weir_view {
        const char *ptr;
        size_t      len;
} weir_view;

typedef weir_slice(weir_view) weir_views;

/* A view of a string, without the zero byte at its end. */
static inline weir_view weir_view_of(const char *s)
{
        weir_view v;

        v.ptr = s;
        v.len = s ? strlen(s) : 0;
        return v;
}

/* Whether they hold the same bytes. */
static inline bool weir_view_equal(weir_view a, weir_view b)
{
        return a.len == b.len && weir_bytes_equal(a.ptr, b.ptr, a.len);
}

/* A hash of the bytes, for maps:
 * WEIR_MAP(names, weir_view, int, weir_hash_view, weir_view_equal). */
WEIR_API uint64_t weir_hash_view(weir_view v, uint64_t seed);

/* Takes from the start of *rest what stands before the next separator of m bytes, and the
 * separator. Without one takes all. False: *rest was exhausted, which is after the part behind the
 * last separator, so that n separators make n + 1 parts; *rest then has a NULL ptr. A separator of
 * length 0 takes a character of UTF-8 each time. */
WEIR_API bool weir_bytes_cut(weir_view *rest, const void *separator, size_t m, weir_view *ret);

/* Takes from the start of *rest the next field: bytes without white space (space and \t to \r).
 * False: there is none. */
WEIR_API bool weir_bytes_next_field(weir_view *rest, weir_view *ret);

/* All parts between separators, as weir_bytes_cut gives them, as a slice; all fields. */
WEIR_API weir_views weir_bytes_split(const void *s, size_t n, const void *separator, size_t m);
WEIR_API weir_views weir_bytes_fields(const void *s, size_t n);

/* The view without white space at either end. */
WEIR_API weir_view weir_view_trim(weir_view v);

/* ---- putting together ---- */

/* Bytes that grow; zero is an empty one. The memory is collected, and that of a builder which is
 * never touched again stays as it is, so that weir_builder_take need not copy. */
typedef struct weir_builder {
        char  *ptr;
        size_t len, cap;
} weir_builder;

/* Append n bytes, which may be the builder's own; one byte; a string; text as printf makes it. */
WEIR_API void weir_builder_add(weir_builder *b, const void *s, size_t n);
WEIR_API void weir_builder_add_byte(weir_builder *b, uint8_t byte);
WEIR_API void weir_builder_add_string(weir_builder *b, const char *s);
WEIR_API void weir_builder_print(weir_builder *b, const char *fmt, ...) WEIR_PRINTF(2, 3);

/* Appends a character as UTF-8; what is none (a surrogate, above U+10FFFF) as U+FFFD. */
WEIR_API void weir_builder_add_char(weir_builder *b, uint32_t c);

/* Makes room for n more bytes. */
WEIR_API void weir_builder_reserve(weir_builder *b, size_t n);

/* Returns the text with a zero byte behind it, and empties the builder. Stores the length in
 * *ret_len unless that is NULL. */
WEIR_API char *weir_builder_take(weir_builder *b, size_t *ret_len);

WEIR_DECLS_END

#endif
