/* weir/cmap.h: a hash map that goroutines use together.
 *
 * Reading never waits and writes nothing that others read, so that any number of processors read at
 * full speed, beside writers as well; writers wait for each other only where their keys fall into
 * the same part of the map. For a map that one goroutine has, or that a mutex guards anyway,
 * weir/map.h is smaller and faster to write.
 *
 * Keys and values are copied; a value that is read is whole, as one put stored it. Each operation
 *      on
 * a key happens at one moment: who finds what a put stored sees also what that goroutine did
 * before. A cmap is collected memory: it is made, used, and forgotten. A NULL one reads as empty.
 * What keys are equal is as for weir_map: bytes of a fixed size, strings for char *, or as a
 *      weir_hasher says.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         static bool add_one(void *val, bool there, void *arg)
 *         {
 *                 (void)there;
 *                 (void)arg;
 *                 ++*(long *)val;
 *                 return true;
 *         }
 *
 *         weir_task(count, my, { weir_cmap *words; const char *word; })
 *         {
 *                 weir_cmap_update(my->words, &my->word, add_one, NULL);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_cmap *words = weir_cmap_make(const char *, long, 0);
 *                 weir_wg    wg = { 0 };
 *                 long       n = 0;
 *
 *                 for (int i = 0; i < 10; i++)
 *                         weir_wg_go(&wg, count, .words = words, .word = i % 2 ? "odd" : "even");
 *                 weir_wg_wait(&wg);
 *                 weir_cmap_get(words, &(const char *){ "odd" }, &n);
 *                 return n == 5 && weir_cmap_len(words) == 2 ? EXIT_SUCCESS : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_CMAP_H
#define WEIR_CMAP_H

#include <weir/base.h>
#include <weir/map.h>

WEIR_DECLS_BEGIN

typedef struct weir_cmap weir_cmap;

/* Makes a map of keys and values of these sizes; val_size 0 makes a set. With hint, there is room
 * for so many entries from the start. flags: WEIR_MAP_SCAN, or WEIR_MAP_NOSCAN where neither keys
 * nor values hold pointers. h is not copied.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: h is NULL, key_size is 0, or a key or a
 * value is larger than a megabyte. */
WEIR_API weir_cmap *weir_cmap_new(const weir_hasher *h, size_t key_size, size_t val_size,
                                  size_t hint, unsigned flags);

#ifndef __cplusplus
/* Makes a map from K to V, scanned unless both are numbers. */
#define weir_cmap_make(K, V, hint)                                                              \
        weir_cmap_new(_Generic((K){0}, char *: &weir_hash_cstr, const char *: &weir_hash_cstr,  \
                               default: &weir_hash_bytes),                                      \
                      sizeof(K), sizeof(V), (hint), WEIR_NUMBER_(K) & WEIR_NUMBER_(V))
#endif

/* Whether the key is there; stores its value in *ret_val then, unless that is NULL.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API bool weir_cmap_get(const weir_cmap *m, const void *key, void *ret_val);

/* The functions that change the map wait for others that change the same part of it.
 *
 * All of them: Parks: until those are done. From: goroutine. Fails: never. Panics: m is NULL. */

/* Puts a value; val NULL: zeroes. An equal key that is there is kept, and its value replaced. */
WEIR_API void weir_cmap_put(weir_cmap *m, const void *key, const void *val);

/* Whether the key was there already; if not, puts val (NULL: zeroes). Stores in *ret_val, unless
 * that is NULL, the value that is there now. Waits for nobody if the key is there. */
WEIR_API bool weir_cmap_get_or_put(weir_cmap *m, const void *key, const void *val, void *ret_val);

/* Deletes the key; whether it was there. Stores in *ret_val, unless that is NULL, its last
 * value. */
WEIR_API bool weir_cmap_take(weir_cmap *m, const void *key, void *ret_val);
WEIR_API bool weir_cmap_del(weir_cmap *m, const void *key);

/* Calls fn with a copy of the key's value, zeroes if the key is not there, and puts what fn has
 * made of it; where fn returns false, the key is not there afterwards. Nobody changes the key in
 * between. fn must not use m; it may panic, and nothing has changed then. Returns what fn did. */
WEIR_API bool weir_cmap_update(weir_cmap *m, const void *key,
                               bool (*fn)(void *val, bool there, void *arg), void *arg);

/* Deletes all, part by part: what is put meanwhile may stay or not. */
WEIR_API void weir_cmap_clear(weir_cmap *m);

/* How many keys are there; beside others that change the map, how many there were about now.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API size_t weir_cmap_len(const weir_cmap *m);

/* An iteration, begun by { .map = m }; nothing has to be done to end it early. */
typedef struct weir_cmap_iter {
        const weir_cmap *map;
        const void      *table_;
        uint64_t         part_, at_;
} weir_cmap_iter;

/* Goes on to the next entry and stores key and value, unless these are NULL. False: all were met.
 *
 * No key is met twice. One that is there all the time is met; of others, and of values that change,
 * what was there at some moment since the iteration began may be met. The map may be changed by
 * anybody meanwhile, in here too.
 *
 * Parks: no.  From: any thread, one at a time.  Fails: never.  Panics: never. */
WEIR_API bool weir_cmap_next(weir_cmap_iter *it, void *ret_key, void *ret_val);

WEIR_DECLS_END

#endif
