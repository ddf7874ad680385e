/* weir/mem.h: what the memory of the process is used for, and how much it may be.
 *
 * weir provides malloc, calloc, realloc, reallocarray, aligned_alloc, posix_memalign, memalign,
 * valloc, pvalloc, free, malloc_usable_size and malloc_trim, unless it was built without
 * (-DWEIR_MALLOC=OFF), so that the numbers here cover ordinary C code too. They may be called from
 * any thread, before weir_run and in handlers of fork. libweir-malloc.so does the same for any
 * program: LD_PRELOAD=libweir-malloc.so program.
 *
 * Memory is taken from the kernel as it is touched and given back in the background some seconds
 * after nobody needs it.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_mem_stats before, after;
 *                 void          *p;
 *
 *                 weir_mem_read(&before);
 *                 p = malloc(1000);
 *                 weir_mem_read(&after);
 *                 free(p);
 *                 return after.heap_in_use >= before.heap_in_use ? EXIT_SUCCESS : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_MEM_H
#define WEIR_MEM_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

/* Bytes, unless said otherwise. What weir does not have yet is 0. */
typedef struct weir_mem_stats {
        uint64_t heap_live;             /* collected: marked in the last cycle, allocated since */
        uint64_t heap_objects;          /* collected objects; a number */
        uint64_t heap_in_use;           /* in pages that hold objects or are set aside for a size */
        uint64_t heap_idle;             /* in pages that hold nothing */
        uint64_t heap_released;         /* of idle: the kernel has them back, or never gave them */
        uint64_t heap_sys;              /* heap_in_use + heap_idle */
        uint64_t total_alloc;           /* allocated since the start, rounded up to sizes */
        uint64_t mallocs;               /* objects allocated since the start; a number */
        uint64_t frees;                 /* objects freed since the start; a number */
        uint64_t stacks_in_use;         /* address space of the stacks that goroutines have now */
        uint64_t stacks_sys;            /* address space reserved for stacks */
        uint64_t metadata_sys;          /* the allocator's own tables */
        uint64_t gc_cycles, gc_forced, gc_pause_total_ns, gc_pause_last_ns, gc_pause_max_ns;
        uint64_t gc_cpu_ns;             /* that collections took of cores, at most */
        uint64_t gc_next;               /* bytes in use at which the next one is to end */
        uint64_t reserved[16];
} weir_mem_stats;

/* Reads the state of memory without stopping anybody.
 *
 * Each number was right at some moment of the call; what other threads do meanwhile may be counted
 * in one and not yet in another. heap_sys is always heap_in_use + heap_idle. Takes some
 * microseconds and longer with many threads.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_mem_read(weir_mem_stats *ret);

/* The same at one moment: no thread takes or returns pages or batches of objects during the call.
 * What threads hold in their own caches goes on changing.
 *
 * Blocks: for some microseconds, other threads' allocations too.  From: any thread.  Fails: never.
 * Panics: never. */
WEIR_API void weir_mem_read_exact(weir_mem_stats *ret);

/* Writes a table of all sizes in use to out: objects allocated and free, their spans, the bytes
 * that are stranded in partly used ones, how many spans are used to less than a quarter, a half,
 * three quarters, not wholly and wholly, and which size strands most.
 *
 * Blocks: while out does.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_mem_report(FILE *out);

/* Gives all idle memory back to the kernel now. Returns how many bytes.
 *
 * Blocks: about 0.1 ms per MiB.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API size_t weir_mem_release(void);

/* Tells which block of weir's heap the byte at p is in, one of malloc or a collected object: where
 * it begins and its size, rounded up as malloc_usable_size tells it. Either may be NULL. What free
 * took may still be found while a thread keeps it for the next malloc.
 *
 * Parks: no.  From: any thread.  Fails: -ENOENT, p is not in the heap, or in a part that nobody
 * has.  Panics: never. */
WEIR_API int weir_mem_block(const void *p, void **ret_start, size_t *ret_size);

/* lvalue = value. With WEIR_DEBUG=checkptr=1 it first panics if lvalue lies in weir's heap but not
 * within one block that is in use: a store by a wild pointer, or beyond the end of an array.
 * Without, it costs a load. */
#define weir_store(lvalue, value)                                               \
        ((void)(__builtin_expect(weir_store_checks, 0) ?                        \
                        weir_store_check(&(lvalue), sizeof(lvalue)) : (void)0), \
         (void)((lvalue) = (value)))

WEIR_API void        weir_store_check(const volatile void *p, size_t size);
WEIR_API extern bool weir_store_checks;         /* WEIR_DEBUG=checkptr=1 */

/* p as a pointer to T, for reading memory as what it was not declared to be: some 10 ns, always.
 * NULL is NULL. What is not weir's heap is not judged but for its alignment, unless
 * WEIR_DEBUG=checkptr=2 says that nothing else may be cast.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: p is not aligned as a T is; it is in weir's
 * heap, but the block has less than a T from there on (both sizes are named), or nobody has it. */
#define weir_cast(T, p) ((T *)weir_cast_check((p), sizeof(T), __alignof__(T), #T))

WEIR_API void *weir_cast_check(const void *p, size_t size, size_t alignment, const char *type);

/* Sets the soft limit of memory in bytes and returns the previous one; 0 only reads it, SIZE_MAX
 * means none. Near the limit, and when the cgroup has met its own, idle memory is returned at once.
 * Allocation does not fail on account of it.
 *
 * Without a call the limit is that of WEIR_MEMORY ("512MiB", "2G", "off"), else what the cgroup
 * allows: memory.high, or nine tenths of its maximum.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API size_t weir_memory_limit(size_t bytes);

WEIR_DECLS_END

#endif
