/* weir/error.h: error codes, their names and sentences.
 *
 * What the world does wrong (a refused connection, a deadline that passed) comes back as a negative
 * int: -errno for what the kernel said, a WEIR_E code for what only weir can say. errno itself is
 * neither read nor set by weir. What the caller does wrong is a panic instead, see weir/go.h.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_conn *conn;
 *                 int        r = weir_net_dial("tcp", "no port here", NULL, &conn);
 *
 *                 if (r >= 0)
 *                         return 1;
 *                 printf("dial: %s (%s)\n", weir_strerror(r), weir_error_name(r));
 *                 return 0;
 *         }
 */
#ifndef WEIR_ERROR_H
#define WEIR_ERROR_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

/* Every code of weir's own: X(name, code, sentence). The enum, weir_error_name and weir_strerror
 * all come from this table; codes never change once released. */
#define WEIR_ERROR_TABLE(X)                                                     \
        X(WEIR_ECLOSED,   -20001, "Already closed")                             \
        X(WEIR_ECANCELED, -20002, "Canceled by its context")                    \
        X(WEIR_ETIMEOUT,  -20003, "Deadline passed")                            \
        X(WEIR_EPANIC,    -20004, "Panicked")                                   \
        X(WEIR_ELIMIT,    -20005, "Limit reached")

#define WEIR_ERROR_ENUM_(name, code, sentence) name = code,
enum { WEIR_ERROR_TABLE(WEIR_ERROR_ENUM_) };

/* Returns a sentence about err, without a full stop.
 *
 * Knows WEIR_E codes, -errno codes and 0; for any other number it says that the error is unknown.
 * The text is constant and never NULL; nobody frees it.
 *
 * Parks: no.  From: any thread, signal handler.  Fails: never.  Panics: never. */
WEIR_API const char *weir_strerror(int err);

/* Returns the name of err as the source code spells it: "ECONNREFUSED", "WEIR_ECLOSED".
 *
 * 0 is "OK", a number that is no code is "UNKNOWN". The text is constant and never NULL; nobody
 * frees it.
 *
 * Parks: no.  From: any thread, signal handler.  Fails: never.  Panics: never. */
WEIR_API const char *weir_error_name(int err);

WEIR_DECLS_END

#endif
