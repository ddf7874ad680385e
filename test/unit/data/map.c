/* Maps against a model: an array that says which keys of a small domain are there with what
 * value. */
/* timeout: 240 */
#include "check.h"
#include "data/map.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { DOMAIN = 5000 };

static struct model {
        bool     there[DOMAIN];
        uint64_t value[DOMAIN];
        size_t   len;
} model;

/* ---- the kinds of keys: key k of the domain as the map sees it, and back ---- */

struct kind {
        const char *name;
        size_t      key_size;
        weir_map *(*make)(void);
        void      (*key)(uint32_t k, void *ret);
        uint32_t  (*back)(const void *key);
};

static char strings[DOMAIN][12];

static void word_key(uint32_t k, void *ret)
{
        uint64_t w = k * UINT64_C(0x100000001);

        memcpy(ret, &w, 8);
}

static uint32_t low_word(const void *key)
{
        return map_half(key);
}

static void half_key(uint32_t k, void *ret)
{
        memcpy(ret, &k, 4);
}

static void bytes_key(uint32_t k, void *ret)
{
        uint32_t w[5] = { k, ~k, 7, k << 16, 0 };

        memcpy(ret, w, sizeof w);
}

static void string_key(uint32_t k, void *ret)
{
        static char copies[2][12];              /* equal text elsewhere */
        static int  turn;
        char       *s = copies[turn ^= 1];

        memcpy(s, strings[k], sizeof *copies);
        memcpy(ret, &(const char *){ s }, sizeof s);
}

static void own_string_key(uint32_t k, void *ret)
{
        memcpy(ret, &(const char *){ strings[k] }, sizeof(char *));
}

static uint32_t string_back(const void *key)
{
        const char *s;

        memcpy(&s, key, sizeof s);
        return (uint32_t)atoi(s + 1);
}

/* Equal bytes elsewhere, and behind them others, which do not count. */
static void view_key(uint32_t k, void *ret)
{
        static char copies[2][12];
        static int  turn;
        char       *s = copies[turn ^= 1];
        weir_view   v = { s, strlen(strings[k]) };

        memset(s, turn ? '1' : '2', sizeof *copies);
        memcpy(s, strings[k], v.len);
        memcpy(ret, &v, sizeof v);
}

static void own_view_key(uint32_t k, void *ret)
{
        memcpy(ret, &(weir_view){ strings[k], strlen(strings[k]) }, sizeof(weir_view));
}

static uint64_t same_hash(const void *k, size_t n, uint64_t seed)
{
        (void)k;
        (void)n;
        (void)seed;
        return 42;
}

static uint64_t weak_hash(const void *k, size_t n, uint64_t seed)
{
        (void)n;
        (void)seed;
        return map_half(k) & ~15u;
}

static bool equal_half_of(const void *a, const void *b, size_t n)
{
        (void)n;
        return map_half(a) == map_half(b);
}

static const weir_hasher same_hasher = { same_hash, equal_half_of };
static const weir_hasher weak_hasher = { weak_hash, equal_half_of };

WEIR_MAP_PLAIN(typed, uint64_t, uint64_t, weir_hash_word, weir_equal_word);
WEIR_MAP_PLAIN(viewed, weir_view, uint64_t, weir_hash_view, weir_view_equal);
WEIR_MAP(named, const char *, int, weir_hash_string, weir_equal_string);

static weir_map *make_word(void) { return weir_map_make(uint64_t, uint64_t, 0); }
static weir_map *make_half(void) { return weir_map_make(uint32_t, uint64_t, 0); }
static weir_map *make_bytes(void) { return weir_map_new(&weir_hash_bytes, 20, 8, 0); }
static weir_map *make_string(void) { return weir_map_make(const char *, uint64_t, 0); }
static weir_map *make_weak(void) { return weir_map_new(&weak_hasher, 4, 8, 0); }
static weir_map *make_view(void) { return weir_map_make(weir_view, uint64_t, 0); }
static weir_map *make_viewed(void) { return viewed_map(viewed_new(0)); }
static weir_map *make_typed(void) { return typed_map(typed_new(0)); }

static const struct kind kinds[] = {
        { "word", 8, make_word, word_key, low_word },
        { "half", 4, make_half, half_key, low_word },
        { "bytes", 20, make_bytes, bytes_key, low_word },
        { "string", 8, make_string, own_string_key, string_back },
        { "view", 16, make_view, own_view_key, string_back },
        { "viewed", 16, make_viewed, own_view_key, string_back },
        { "weak", 4, make_weak, half_key, low_word },
        { "typed", 8, make_typed, word_key, low_word },
};

/* ---- the property: any sequence of operations ---- */

static void look_at(const struct kind *kind, const weir_map *m, uint32_t k)
{
        uint64_t value = 77;
        char     key[32];
        void    *at;

        (kind->key == own_string_key ? string_key
         : kind->key == own_view_key ? view_key : kind->key)(k, key);
        must(weir_map_get(m, key, &value) == model.there[k]);
        must(value == (model.there[k] ? model.value[k] : 77));
        at = weir_map_at(m, key);
        must(!!at == model.there[k]);
        must(!at || map_word(at) == model.value[k]);
}

static void look_at_all(const struct kind *kind, const weir_map *m)
{
        static bool met[DOMAIN];
        weir_map_iter it = { .map = m };
        char     key[32], keys[64][32];
        uint64_t value;
        void    *at[64];
        size_t   n = 0, found = 0;

        memset(met, 0, sizeof met);
        while (weir_map_next(&it, key, &value)) {
                uint32_t k = kind->back(key);

                must(k < DOMAIN && model.there[k] && !met[k] && model.value[k] == value);
                met[k] = true;
                n++;
        }
        must(!weir_map_next(&it, key, &value));
        must(n == model.len && weir_map_len(m) == n && weir__map_check(m));
        for (uint32_t k = 0; k < 64; k++)
                (kind->key)(k * 61 % DOMAIN, keys[0] + k * kind->key_size);
        for (uint32_t k = 0; k < 64; k++)
                found += model.there[k * 61 % DOMAIN];
        must(weir_map_at_many(m, keys, 64, at) == found);
        for (uint32_t k = 0; k < 64; k++)
                must(at[k] ? model.there[k * 61 % DOMAIN] && map_word(at[k]) == model.value[k * 61 % DOMAIN]
                           : !model.there[k * 61 % DOMAIN]);
}

static void change(const struct kind *kind, weir_map *m, uint32_t k, uint64_t value, unsigned how)
{
        char  key[32];
        bool  fresh;
        void *at;

        kind->key(k, key);
        switch (how) {
        case 0:
                must(weir_map_del(m, key) == model.there[k]);
                model.len -= model.there[k];
                model.there[k] = false;
                return;
        case 1:
                at = weir_map_slot(m, key, &fresh);
                must(fresh == !model.there[k]);
                must(map_word(at) == (fresh ? 0 : model.value[k]));
                memcpy(at, &value, 8);
                break;
        default:
                weir_map_put(m, key, &value);
        }
        model.len += !model.there[k];
        model.there[k] = true;
        model.value[k] = value;
}

/* Waves: mostly putting, then mostly deleting, so that tables split and merge again and again. */
static void play(const struct kind *kind, uint32_t slots_max, int rounds, uint64_t seed)
{
        weir_map *m = kind->make();
        uint32_t  wave = 0, domain = DOMAIN;

        for (uint32_t k = 0; k < DOMAIN; k++)
                weir__fmt(strings[k], sizeof strings[k], "k%u", k);
        if (slots_max)
                m->slots_max_ = slots_max;
        model = (struct model){ .len = 0 };
        for (int i = 0; i < rounds; i++) {
                uint32_t k = weir__rand_below(&seed, domain);

                if (!weir__rand_below(&seed, 4000)) {
                        wave = weir__rand_below(&seed, 5);
                        domain = 1 + weir__rand_below(&seed, DOMAIN);
                }
                change(kind, m, k, weir__rand(&seed), weir__rand_below(&seed, 5) < wave
                                                              ? 0 : 1 + weir__rand_below(&seed, 2));
                look_at(kind, m, weir__rand_below(&seed, DOMAIN));
                if (!weir__rand_below(&seed, 5000))
                        look_at_all(kind, m);
                if (!weir__rand_below(&seed, 20000)) {
                        weir_map_clear(m);
                        memset(model.there, 0, sizeof model.there);
                        model.len = 0;
                }
        }
        look_at_all(kind, m);
        for (uint32_t k = 0; k < DOMAIN; k++) {
                change(kind, m, k, 0, 0);
                if (k % 97 == 0)
                        must(weir__map_check(m));
        }
        must(weir_map_len(m) == 0 && m->depth_ == 0 && m->ntables_ <= 1);
        must(!m->ntables_ || m->tables_[0]->slots <= GROUP);
}

PLAIN_TEST_WITH(a_map_is_its_model, .timeout = 100)
{
        for (size_t i = 0; i < COUNT(kinds); i++) {
                play(&kinds[i], 0, 200000, 1 + i);
                play(&kinds[i], 16, 200000, 100 + i);   /* a hundred tables */
                play(&kinds[i], 64, 200000, 200 + i);
        }
}

PLAIN_TEST_WITH(keys_that_are_all_equal_in_hash_are_kept_apart, .timeout = 60)
{
        weir_map *m = weir_map_new(&same_hasher, 4, 4, 0);

        m->slots_max_ = 16;
        for (uint32_t k = 0; k < 3000; k++)
                weir_map_put(m, &k, &k);
        must(weir_map_len(m) == 3000 && weir__map_check(m));
        ck_assert_uint_le(m->depth_, 8);                /* the directory did not run away */
        for (uint32_t k = 0; k < 3000; k++) {
                uint32_t v = 0;

                must(weir_map_get(m, &k, &v) && v == k);
        }
        for (uint32_t k = 0; k < 3000; k++)
                must(weir_map_del(m, &k));
        must(weir_map_len(m) == 0 && weir__map_check(m));
}

/* ---- iteration while the map changes ---- */

static void iterate(const struct kind *kind, uint32_t slots_max, uint64_t seed)
{
        static bool   start[DOMAIN], touched[DOMAIN];
        static int    met[DOMAIN];
        weir_map     *m = kind->make();
        weir_map_iter it = { .map = m };
        uint32_t      n = weir__rand_below(&seed, 2) ? 20 : DOMAIN, mood = weir__rand_below(&seed, 11);
        uint64_t      value;
        char          key[32];

        if (slots_max)
                m->slots_max_ = slots_max;
        model = (struct model){ .len = 0 };
        for (uint32_t i = weir__rand_below(&seed, n + 1); i; i--)
                change(kind, m, weir__rand_below(&seed, n), i, 2);
        memcpy(start, model.there, sizeof start);
        memset(touched, 0, sizeof touched);
        memset(met, 0, sizeof met);
        while (weir_map_next(&it, key, &value)) {
                uint32_t k = kind->back(key);

                must(k < DOMAIN && model.there[k] && model.value[k] == value);
                must(met[k]++ == 0 || touched[k]);
                for (uint32_t j = weir__rand_below(&seed, 8); j; j--) {
                        uint32_t other = weir__rand_below(&seed, DOMAIN);
                        bool     del = weir__rand_below(&seed, 10) < mood;

                        if (weir__rand_below(&seed, 8) == 0)
                                other = k;
                        if (del || !model.there[other])
                                touched[other] = true;
                        change(kind, m, other, weir__rand(&seed), del ? 0 : 2);
                }
                if (!weir__rand_below(&seed, 3000)) {
                        weir_map_clear(m);
                        memset(model.there, 0, sizeof model.there);
                        memset(touched, 1, sizeof touched);
                        model.len = 0;
                }
        }
        for (uint32_t k = 0; k < DOMAIN; k++)           /* what stayed was met once */
                must(!start[k] || touched[k] || met[k] == 1);
        must(weir__map_check(m));
}

PLAIN_TEST_WITH(an_iteration_meets_once_what_stays, .timeout = 100)
{
        for (uint32_t k = 0; k < DOMAIN; k++)
                weir__fmt(strings[k], sizeof strings[k], "k%u", k);
        for (size_t i = 0; i < COUNT(kinds); i++)
                for (uint64_t round = 1; round <= 120; round++)
                        iterate(&kinds[i], round % 3 == 0 ? 0 : round % 3 == 1 ? 16 : 128,
                                round * 7919 + i);
}

PLAIN_TEST(deleting_all_during_an_iteration_meets_each)
{
        weir_map *m = make_word();
        uint64_t  k, met = 0;

        m->slots_max_ = 64;
        for (k = 0; k < DOMAIN; k++)
                weir_map_put(m, &k, &k);
        for (weir_map_iter it = { .map = m }; weir_map_next(&it, &k, NULL); met++)
                must(weir_map_del(m, &k));
        must(met == DOMAIN && weir_map_len(m) == 0 && weir__map_check(m));
}

PLAIN_TEST(the_order_of_iterations_differs)
{
        weir_map *m = make_word();
        uint64_t  first[20], k, differ = 0;

        for (k = 0; k < 1000; k++)
                weir_map_put(m, &k, &k);
        for (int i = 0; i < 20; i++) {
                weir_map_iter it = { .map = m };

                must(weir_map_next(&it, &first[i], NULL));
                differ += first[i] != first[0];
        }
        ck_assert_uint_gt(differ, 3);
}

static uint64_t hash_double(double d, uint64_t seed)
{
        return weir_hash(&d, sizeof d, seed);
}

WEIR_MAP_PLAIN(reals, double, int, hash_double, weir_equal_word);

PLAIN_TEST(nan_keys_are_all_different_met_and_cleared)
{
        reals        *m = reals_new(0);
        weir_map_iter it = { .map = reals_map(m) };
        int           met = 0;
        double        d;

        for (int i = 0; i < 500; i++) {
                reals_put(m, (double)NAN, i);
                reals_put(m, i, i);
        }
        ck_assert_uint_eq(reals_len(m), 1000);
        ck_assert_ptr_null(reals_get(m, (double)NAN));
        ck_assert(!reals_del(m, (double)NAN));
        while (reals_next(&it, &d, NULL)) {
                if (met < 100)                          /* the table is replaced under it */
                        reals_put(m, 1e6 + met, 0);
                if (d < 1e6 || isnan(d))
                        met++;
        }
        ck_assert_int_eq(met, 1000);
        reals_clear(m);
        ck_assert_uint_eq(reals_len(m), 0);
        it = (weir_map_iter){ .map = reals_map(m) };
        ck_assert(!reals_next(&it, &d, NULL));
}

/* ---- edges ---- */

PLAIN_TEST(a_null_map_reads_as_empty)
{
        weir_map_iter it = { 0 };
        typed        *t = NULL;
        int           k = 1, v = 5;
        void         *at = &v;
        uint64_t     *ret = NULL, key = 1;

        ck_assert(!weir_map_get(NULL, &k, &v));
        ck_assert_int_eq(v, 5);
        ck_assert_ptr_null(weir_map_at(NULL, &k));
        ck_assert_uint_eq(weir_map_at_many(NULL, &k, 1, &at), 0);
        ck_assert_ptr_null(at);
        ck_assert(!weir_map_del(NULL, &k));
        weir_map_clear(NULL);
        ck_assert_uint_eq(weir_map_len(NULL), 0);
        ck_assert(!weir_map_next(&it, &k, &v));
        ck_assert_ptr_null(typed_get(t, 1));
        ck_assert(!typed_del(t, 1));
        ck_assert_uint_eq(typed_len(t), 0);
        ck_assert_uint_eq(typed_get_many(t, &key, 1, &ret), 0);
}

static void put_null(void *arg)
{
        weir_map_put(NULL, arg, arg);
}

static void put_null_typed(void *arg)
{
        (void)arg;
        typed_put(NULL, 1, 1);
}

static void make_keyless(void *arg)
{
        (void)arg;
        weir_map_new(&weir_hash_bytes, 0, 1, 0);
}

static void make_without_hasher(void *arg)
{
        (void)arg;
        weir_map_new(NULL, 1, 1, 0);
}

static void make_giant(void *arg)
{
        (void)arg;
        weir_map_new(&weir_hash_bytes, SIZE_MAX, SIZE_MAX, 0);
}

static void panics(void (*fn)(void *), const char *message)
{
        weir_panic_info info = { .message = "no panic" };
        int             arg = 0;

        ck_assert_int_eq(weir_protect(fn, &arg, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, message) != NULL, "%s", info.message);
}

WEIR_TEST(mistakes_panic)
{
        panics(put_null, "weir_map_put: the map is NULL");
        panics(put_null_typed, "typed_slot: the map is NULL");
        panics(make_keyless, "keys of 0 bytes");
        panics(make_without_hasher, "the hasher is NULL");
        panics(make_giant, "keys of 18446744073709551615 bytes");
}

static weir_map *in_use;

static uint64_t meddle(const void *k, size_t n, uint64_t seed)
{
        (void)n;
        (void)seed;
        if (in_use)
                weir_map_get(in_use, k, NULL);
        return map_half(k);
}

static void put_meddled(void *arg)
{
        weir_map_put(in_use, arg, arg);
}

WEIR_TEST(a_reader_beside_a_writer_panics)
{
        static const weir_hasher h = { meddle, equal_half_of };

        in_use = weir_map_new(&h, 4, 4, 0);
        panics(put_meddled, "concurrent use of map");
}

PLAIN_TEST(hints_make_room_or_are_ignored)
{
        static const size_t hints[] = { 1, 8, 9, 100, 896, 5000, 100000, 1000000 };

        for (size_t i = 0; i < COUNT(hints); i++) {
                weir_map *m = weir_map_make(uint64_t, uint64_t, hints[i]);
                uint64_t  epoch = m->epoch_;

                ck_assert(weir__map_check(m));
                for (uint64_t k = 0; k < hints[i]; k++)
                        weir_map_put(m, &k, &k);
                ck_assert_uint_eq(m->epoch_, epoch);            /* nothing had to move */
        }
        for (int shift = 30; shift < 64; shift++) {
                weir_map *m = weir_map_make(uint64_t, uint64_t, SIZE_MAX >> (63 - shift));
                uint64_t  k = 5;

                if (shift > 40)
                        ck_assert_uint_eq(m->ntables_, 0);
                if (shift > 40)
                        weir_map_put(m, &k, &k);
                if (shift == 30)
                        shift = 40;
        }
}

PLAIN_TEST(sets_have_no_values)
{
        weir_map *m = weir_map_new(&weir_hash_bytes, 3, 0, 0);

        for (int i = 0; i < 1000; i++)
                weir_map_put(m, (char[3]){ (char)i, (char)(i >> 8), 1 }, NULL);
        ck_assert_uint_eq(weir_map_len(m), 1000);
        ck_assert_ptr_nonnull(weir_map_at(m, (char[3]){ 7, 0, 1 }));
        ck_assert(weir_map_get(m, (char[3]){ 7, 3, 1 }, NULL));
        ck_assert(!weir_map_get(m, (char[3]){ 7, 0, 2 }, NULL));
        ck_assert(weir__map_check(m));
}

/* Short strings are compared in whole vectors, which may not reach into the next page. */
PLAIN_TEST(strings_of_all_lengths_are_told_apart_up_to_the_end_of_a_page)
{
        enum { PAGE_BYTES = 4096, LONGEST = 70 };
        char *page = mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        static char far[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

        must(page != MAP_FAILED && !mprotect(page + PAGE_BYTES, PAGE_BYTES, PROT_NONE));
        for (int turn = 0; turn < 2; turn++)
                for (size_t n = 0; n <= LONGEST; n++) {
                        char *end = page + PAGE_BYTES - n - 1, *mid = far + 100 + n, *key, *search;
                        weir_map *m = weir_map_make(const char *, int, 0);
                        int       v = 0;

                        key = turn ? end : mid;
                        search = turn ? mid : end;
                        memset(key, 'x', n);
                        memset(search, 'x', n);
                        key[n] = search[n] = '\0';
                        weir_map_put(m, &(const char *){ key }, &(int){ 5 });
                        must(weir_map_get(m, &(const char *){ search }, &v) && v == 5);
                        must(weir_map_at(m, &(const char *){ search }));
                        for (size_t i = 0; i < n; i++) {
                                search[i] = 'y';
                                must(!weir_map_get(m, &(const char *){ search }, &v));
                                search[i] = 'x';
                        }
                        if (n) {
                                must(!weir_map_get(m, &(const char *){ search + 1 }, &v));
                                search[n - 1] = '\0';
                                must(!weir_map_get(m, &(const char *){ search }, &v));
                                must(!weir_map_del(m, &(const char *){ search }));
                                search[n - 1] = 'x';
                        }
                        must(!weir_map_get(m, &(const char *){ NULL }, &v));
                        must(weir_map_del(m, &(const char *){ search }) && weir_map_len(m) == 0);
                }
        munmap(page, 2 * PAGE_BYTES);
}

/* Their hash is that of the bytes, and a hash of equal bits does not make two strings equal. */
PLAIN_TEST(the_hash_of_a_string_is_that_of_its_bytes)
{
        char s[100];

        for (size_t n = 0; n < sizeof s; n++) {
                memset(s, 'a' + (int)(n % 26), n);
                s[n] = '\0';
                ck_assert_uint_eq(weir_hash_string(s, n), weir_hash(s, n, n));
        }
        ck_assert_uint_eq(weir_hash_string(NULL, 5), 0);
}

static uint64_t odd_hash(double d, uint64_t seed)
{
        return weir_hash_word((uint64_t)(int64_t)d, seed);
}

WEIR_MAP_PLAIN(doubles, double, int, weir_hash_word, weir_equal_word);
WEIR_MAP_PLAIN(odd_doubles, double, int, odd_hash, weir_equal_word);
WEIR_MAP_PLAIN(small_words, int, int, weir_hash_word, weir_equal_word);

/* Of a number that is no integer weir_hash_word takes the integer part. */
PLAIN_TEST(typed_words_are_hashed_here_only_where_that_is_the_same)
{
        doubles     *d = doubles_new(0);
        odd_doubles *o = odd_doubles_new(0);
        small_words *w = small_words_new(0);

        ck_assert_int_eq(typed_map(typed_new(0))->mode_, MODE_WORD);
        ck_assert_int_eq(doubles_map(d)->mode_, MODE_TYPED);
        ck_assert_int_eq(small_words_map(w)->mode_, MODE_TYPED);
        for (int i = 0; i < 1000; i++) {
                doubles_put(d, i / 2.0, i);
                odd_doubles_put(o, i / 2.0, i);
                small_words_put(w, i - 500, i);
        }
        for (int i = 0; i < 1000; i++) {
                must(*doubles_get(d, i / 2.0) == i && *odd_doubles_get(o, i / 2.0) == i);
                must(*small_words_get(w, i - 500) == i);
        }
        must(weir__map_check(doubles_map(d)) && weir__map_check(small_words_map(w)));
}

PLAIN_TEST(an_equal_key_keeps_the_old_one)
{
        char        a[] = "key", b[] = "key";
        const char *key = a, *got;
        named      *m = named_new(0);
        weir_map_iter it = { .map = named_map(m) };
        int         v;

        named_put(m, key, 1);
        named_put(m, b, 2);
        ck_assert_uint_eq(named_len(m), 1);
        ck_assert(named_next(&it, &got, &v));
        ck_assert_ptr_eq(got, a);
        ck_assert_int_eq(v, 2);
        named_put(m, NULL, 3);
        ck_assert_int_eq(*named_get(m, NULL), 3);
        ck_assert_ptr_null(named_get(m, ""));
}

PLAIN_TEST_WITH(wide_and_odd_entries_are_kept, .timeout = 60)
{
        for (size_t key_size = 1; key_size < 40; key_size++)
                for (size_t val_size = 0; val_size < 300; val_size = val_size * 2 + 1) {
                        weir_map *m = weir_map_new(&weir_hash_bytes, key_size, val_size, 0);
                        char      key[40] = { 0 }, val[300], got[300];

                        for (int i = 0; i < 200; i++) {
                                key[0] = (char)i;
                                memset(val, i, sizeof val);
                                weir_map_put(m, key, val);
                        }
                        for (int i = 0; i < 200; i++) {
                                key[0] = (char)i;
                                memset(val, i, sizeof val);
                                must(weir_map_get(m, key, got) && !memcmp(got, val, val_size));
                        }
                        must(weir_map_len(m) == 200 && weir__map_check(m));
                }
}

PLAIN_TEST(maps_do_not_share_cache_lines)
{
        for (int i = 0; i < 100; i++)
                ck_assert_uint_eq((uintptr_t)make_word() % CACHE_LINE, 0);
}

PLAIN_TEST(deleting_gives_memory_back)
{
        weir_mem_stats before, full, after;
        weir_map      *m = make_word();
        uint64_t       k;

        weir_mem_read(&before);
        for (k = 0; k < 1000000; k++)
                weir_map_put(m, &k, &k);
        weir_mem_read(&full);
        for (k = 0; k < 1000000; k++)
                weir_map_del(m, &k);
        weir_mem_read(&after);
        ck_assert_uint_gt(full.heap_in_use, before.heap_in_use + (17 << 20));
        ck_assert_uint_lt(after.heap_in_use, before.heap_in_use + (2 << 20));
}

enum { VARIANTS = 64 };

/* Hashes keys of n bytes whose words from `at` on, each `step` bytes, are w, and the rest random.
 */
static void hash_variants(size_t n, size_t at, size_t step, uint64_t w)
{
        static uint64_t state = 1;
        uint64_t        got[VARIANTS];
        uint8_t         key[112];

        for (int i = 0; i < VARIANTS; i++) {
                for (size_t k = 0; k < n; k++) {
                        state = state * UINT64_C(25214903917) + 11;
                        key[k] = (uint8_t)(state >> 24);
                }
                for (size_t k = at; k + 8 <= n; k += step)
                        memcpy(key + k, &w, 8);
                got[i] = weir_hash(key, n, 12345);
                for (int k = 0; k < i; k++)
                        must(got[k] != got[i]);
        }
}

/* A word that is a constant of the hash made a factor 0 once, and the rest of the key did not
 * count, whatever the seed. */
PLAIN_TEST(no_word_of_a_key_makes_all_hashes_equal)
{
        static const uint64_t constants[] = {
                0, UINT64_C(0xa0761d6478bd642f), UINT64_C(0xe7037ed1a0b428db),
                UINT64_C(0x8ebc6af09c88c6e3), UINT64_C(0x589965cc75374cc3),
        };

        for (size_t n = 16; n <= 112; n += 8)
                for (size_t at = 0; at < n; at += 8)
                        for (size_t c = 0; c < sizeof constants / sizeof *constants; c++) {
                                hash_variants(n, at, n, constants[c]);
                                hash_variants(n, at, 16, constants[c]);
                        }
}

PLAIN_TEST(hashes_of_bytes_differ_in_all_bits)
{
        char     key[100] = { 0 };
        unsigned flips[64] = { 0 }, tries = 0;

        for (size_t n = 1; n <= sizeof key; n++)
                for (size_t bit = 0; bit < n * 8; bit += 1 + n / 8, tries++) {
                        uint64_t a = weir_hash(key, n, 1), b;

                        key[bit / 8] ^= (char)(1 << bit % 8);
                        b = weir_hash(key, n, 1);
                        key[bit / 8] ^= (char)(1 << bit % 8);
                        must(a != b);
                        must(weir_hash(key, n, 2) != a && weir_hash(key, n - 1, 1) != a);
                        for (int i = 0; i < 64; i++)
                                flips[i] += (a ^ b) >> i & 1;
                }
        for (int i = 0; i < 64; i++)
                ck_assert(flips[i] > tries * 45 / 100 && flips[i] < tries * 55 / 100);
}

/* Keys in steps of every power of two, as addresses and counters are: probing must stay short. */
PLAIN_TEST_WITH(regular_keys_are_spread, .timeout = 60)
{
        for (int shift = 0; shift < 44; shift++) {
                weir_map *m = make_word();

                for (uint64_t i = 0; i < 20000; i++) {
                        uint64_t k = i << shift;

                        weir_map_put(m, &k, &k);
                }
                for (size_t i = 0; i < (size_t)1 << m->depth_; i++) {
                        const struct weir_map_table_ *t = m->tables_[i];
                        size_t                        full = 0;

                        for (size_t g = 0; g <= t->mask; g++)
                                full += !weir_group_match_(weir_group_load_(t->ctrl + GROUP * g),
                                                           WEIR_MAP_EMPTY_);
                        ck_assert_uint_le(full, (t->mask + 1) / 2);
                }
        }
}

/* Who finds keys that meet in one map, by its seed, has found nothing for another one. */
PLAIN_TEST_WITH(keys_chosen_to_meet_in_one_map_part_in_another, .timeout = 60)
{
        weir_map *one[2] = { make_word(), make_bytes() }, *other[2] = { make_word(), make_bytes() };
        size_t    full = 0;

        for (int i = 0; i < 2; i++) {
                for (uint32_t k = 0, found = 0; found < 2000; k++) {
                        char key[32];

                        kinds[i ? 2 : 0].key(k, key);
                        if (map_hash(one[i], key) >> 7 & 0x1ff)         /* all in one group */
                                continue;
                        found++;
                        weir_map_put(other[i], key, &(uint64_t){ k });
                }
                for (size_t g = 0; g <= other[i]->tables_[0]->mask; g++)
                        full += !weir_group_match_(
                                weir_group_load_(other[i]->tables_[0]->ctrl + GROUP * g),
                                WEIR_MAP_EMPTY_);
        }
        ck_assert_uint_le(full, 20);
}
