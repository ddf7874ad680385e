/* Metrics as text, and the histogram of waits. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

static bool name_char(char c)
{
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The lines of a histogram: rising buckets up to +Inf, sum and count. Answers what follows. */
static char *check_buckets(char *rest, const char *name, size_t k)
{
        double   le, last = 0;
        uint64_t count = 0;
        char    *line, value[32];

        do {
                unsigned long long n;

                line = strsep(&rest, "\n");
                ck_assert_msg(!strncmp(line, name, k), "%s", line);
                ck_assert_int_eq(sscanf(line + k, "_bucket{le=\"%31[^\"]\"} %llu", value, &n), 2);
                ck_assert_uint_ge(n, count);
                count = n;
                le = strcmp(value, "+Inf") ? strtod(value, NULL) : 1e9;
                ck_assert(le > last);
                last = le;
        } while (le < 1e9);
        line = strsep(&rest, "\n");
        ck_assert(!strncmp(line + k, "_sum ", 5));
        line = strsep(&rest, "\n");
        ck_assert(!strncmp(line + k, "_count ", 7));
        ck_assert_uint_ge(strtoull(line + k + 7, NULL, 10), count);
        return rest;
}

WEIR_TEST(every_metric_has_help_type_and_a_number)
{
        char  *text = NULL, *line, *rest, name[128], kind[16];
        size_t n = 0, metrics = 0;
        FILE  *f = open_memstream(&text, &n);

        weir_metric_write(f);
        fclose(f);
        rest = text;
        while ((line = strsep(&rest, "\n")) && *line) {
                size_t k;
                char  *end;

                ck_assert_int_eq(sscanf(line, "# HELP %127s", name), 1);
                ck_assert(strlen(line) > strlen("# HELP ") + strlen(name) + 5);
                for (k = 0; name[k]; k++)
                        ck_assert_msg(name_char(name[k]), "%s", name);
                line = strsep(&rest, "\n");
                ck_assert_int_eq(sscanf(line, "# TYPE %*s %15s", kind), 1);
                ck_assert(strstr(line, name) == line + strlen("# TYPE "));
                if (!strcmp(kind, "histogram")) {
                        rest = check_buckets(rest, name, k);
                        metrics++;
                        continue;
                }
                ck_assert(!strcmp(kind, k > 6 && !strcmp(name + k - 6, "_total") ? "counter" : "gauge"));
                line = strsep(&rest, "\n");
                ck_assert(!strncmp(line, name, k) && line[k] == ' ');
                (void)strtoull(line + k + 1, &end, 10);
                ck_assert(end > line + k + 1 && !*end);
                metrics++;
        }
        ck_assert_uint_ge(metrics, 20);
        free(text);
}

/* ---- the histogram of waits ---- */

static uint64_t latency_count(void)
{
        char    *text = NULL, *at;
        size_t   n = 0;
        FILE    *f = open_memstream(&text, &n);
        uint64_t count;

        weir_metric_write(f);
        fclose(f);
        at = strstr(text, "\nweir_sched_latency_seconds_count ");
        ck_assert_ptr_nonnull(at);
        count = strtoull(strchr(at, ' '), NULL, 10);
        free(text);
        return count;
}

weir_task(answer, my, { weir_chan *in, *out; })
{
        int v;

        while (weir_recv(my->in, &v))
                weir_send(my->out, &v);
}

WEIR_TEST_WITH(one_wait_in_sixty_four_is_measured, .procs = 1)
{
        enum { ROUNDS = 6400 };
        weir_chan *in = weir_chan_make(int, 0), *out = weir_chan_make(int, 0);
        uint64_t   before = latency_count(), got;

        weir_go(answer, .in = in, .out = out);
        for (int i = 0, v; i < ROUNDS; i++) {
                weir_send(in, &i);
                ck_assert(weir_recv(out, &v));
        }
        got = latency_count() - before;         /* one or two are readied in each round */
        ck_assert_msg(got >= ROUNDS / 64 - 2 && got <= 4 * ROUNDS / 64 + 2, "%llu",
                      (unsigned long long)got);
        weir_chan_close(in);
}
