/* weir/base.h: what every other header needs, and errno.
 *
 * Nobody includes this file for its own sake. It holds the attributes that the declarations use,
 * the types that more than one header names, and the reason why errno looks different under weir: a
 * goroutine that parks may wake on another thread, and the errno it goes on with must be its own.
 * The C library tells the compiler that the address of errno never changes within a function; here
 * it does. So errno is read through a plain call, and a goroutine keeps its value when it moves.
 *
 * How to read the other headers. Every function has one line of runtime facts:
 *
 *   Parks    what the calling goroutine waits for; its thread goes on with other goroutines
 *   Blocks   in place of Parks: what the calling thread itself waits for
 *   From     who may call: "goroutine", "any thread" (goroutines included), "signal handler".
 *            Elsewhere, and before weir_run, the call panics: "not on a goroutine"
 *   Fails    the negative codes it returns; outputs are untouched then
 *   Panics   the caller's mistakes that it reports by weir_panic
 *
 * Options are read from a struct: NULL or all zero means the defaults. Members named reserved are
 * zero, members that end in an underscore are nobody's business but weir's.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 errno = ERANGE;
 *                 weir_sleep(WEIR_MILLISECOND);
 *                 return errno == ERANGE ? EXIT_SUCCESS : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* On by: a C++ compiler. */
#ifdef __cplusplus
#define WEIR_DECLS_BEGIN extern "C" {
#define WEIR_DECLS_END   }
#else
#define WEIR_DECLS_BEGIN
#define WEIR_DECLS_END
#endif

#define WEIR_API                __attribute__((visibility("default")))
#define WEIR_NORETURN           __attribute__((noreturn))
#define WEIR_MAY_ALIAS          __attribute__((may_alias))
#define WEIR_UNUSED             __attribute__((unused))
#define WEIR_ALWAYS_INLINE      __attribute__((always_inline))
#define WEIR_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* 0 if there is one argument, 1 if there are 2 to 64. It spares weir_go without members the
 * pedantic complaint about a macro call with nothing for its dots. */
#define WEIR_MANY_(...)                                                                 \
        WEIR_65TH_(__VA_ARGS__, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, \
                   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, \
                   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, )
#define WEIR_65TH_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, \
                   a18, a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, \
                   a33, a34, a35, a36, a37, a38, a39, a40, a41, a42, a43, a44, a45, a46, a47, \
                   a48, a49, a50, a51, a52, a53, a54, a55, a56, a57, a58, a59, a60, a61, a62, \
                   a63, a64, n, ...) n
#define WEIR_CAT_(a, b)  WEIR_CAT__(a, b)
#define WEIR_CAT__(a, b) a##b

WEIR_DECLS_BEGIN

/* A context: what tells a goroutine that its work is no longer wanted (weir/ctx.h). Select cases
 * and network options can name one; NULL is one that never ends. */
typedef struct weir_ctx weir_ctx;

/* Returns the address of the caller's errno, good until the caller parks.
 *
 * Define WEIR_KEEP_ERRNO before the first include to keep the C library's own errno, for instance
 * in a file that includes weir.h and whose functions never park.
 *
 * Parks: no.  From: any thread, signal handler.  Fails: never.  Panics: never. */
WEIR_API int *weir_errno_location(void);

/* On by: default. Off by: the program, with WEIR_KEEP_ERRNO. */
#ifndef WEIR_KEEP_ERRNO
#undef errno
#define errno (*weir_errno_location())
#endif

WEIR_DECLS_END

#endif
