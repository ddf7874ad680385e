/* WEIR_DEBUG=name=value,name=value: one table, read once at start. */
#ifndef WEIR_BASE_DEBUG_H
#define WEIR_BASE_DEBUG_H

#include "base/base.h"

struct debug {
#define DEBUG(name, value, what) int64_t name;
#include "base/debug.def"
#undef DEBUG
};

extern struct debug weir__debug;        /* const after weir_run began */

/* Reads the variable. Prints the table for `help` (exit 0); an unknown name or a value that is no
 * number is told on stderr and ends the program with status 2, for a switch that silently does
 * nothing has cost its user an hour. */
void weir__debug_read(void);

/* The value of one switch before the table is read: for the allocator, which starts first. Needs
 * neither malloc nor stdio, complains of nothing. */
int64_t weir__debug_early(const char *name, int64_t fallback);

/* The same of a whole environment variable, or NULL. The text may be overwritten by the next call;
 * one thread at a time. */
const char *weir__debug_early_env(const char *name);

/* Says whether it knows a switch of the processor, `cpu.NAME=VALUE` without the `cpu.`; of n bytes.
 * Filled by arch, which reads them itself; NULL where there is no arch. */
extern bool (*weir__debug_cpu)(const char *item, size_t n);

/* The value of an environment variable as a number in [min, max]; fallback when it is not set.
 * Anything else is told on stderr and ends the program with status 2. */
int64_t weir__debug_env(const char *name, int64_t min, int64_t max, int64_t fallback);

#endif
