/* The explorer's executions: one, all ways of a scenario, and those of each of its mutants, each in
 * a process of its own. */
#include "state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern struct site __start_model_sites[], __stop_model_sites[];
extern char        __data_start[], _end[];

static char *snapshot;

/* ---- one execution, and all of them ---- */

static void thread_main(void *arg)
{
        X->sc->thread[(uintptr_t)arg]();
        model_exit();
}

static void run_once(void)
{
        const struct scenario *sc = X->sc;

        memcpy(__data_start, snapshot, (size_t)(_end - __data_start));
        memset(X->heap, 0, X->heap_used);
        X->heap_used = 0;
        X->depth = X->spent = X->steps = X->nloc = X->nclock = X->nshipped = X->nstack = 0;
        memset(&X->total, 0, sizeof X->total);
        X->nsplit = 0;
        memset(X->thread, 0, sizeof X->thread);
        X->run++;
        X->executions++;
        X->failed = X->learned = X->running = false;
        X->cur = -1;
        if (setjmp(X->env))
                return;
        for (X->threads = 0; X->threads < T && sc->thread[X->threads]; X->threads++)
                X->thread[X->threads].clock.vc[X->threads] = 1;
        sc->setup();
        for (unsigned i = 0; i < X->threads; i++)
                weir__arch_context_init(&X->thread[i].ctx, X->stacks[X->nstack++] + STACK,
                                        thread_main, (void *)(uintptr_t)i);
        X->running = true;
        model_switch_to((int)model_choose(X->threads, true));
        X->running = false;
        if (X->failed)
                return;
        X->cur = -1;
        if (sc->finish)
                sc->finish();
}

/* Answers whether nothing was wrong in any of them. */
static bool explore(void)
{
        do {
                run_once();
                if (X->failed)
                        return false;
                for (unsigned i = 0; i < X->nknown; i++)
                        X->known[i].shared = X->known[i].next;
                if (X->learned)
                        X->len = 0;
        } while (X->learned || model_advance());
        return true;
}

/* The execution that failed once more, in words. */
static void explain(void)
{
        X->trace = true;
        X->len = X->depth;
        run_once();
        printf("  %s\n", X->message);
}

static bool matches(const struct site *s, const char *name)
{
        size_t n = strlen(s->func);

        return !strncmp(name, s->func, n) && name[n] == ':' && !strcmp(name + n + 1, s->op);
}

static bool mutate(const struct mutant *m)
{
        bool found = false;

        for (struct site *s = __start_model_sites; s < __stop_model_sites; s++)
                if (matches(s, m->site)) {
                        s->mutation = (int)m->what;
                        s->value = m->value;
                        found = true;
                }
        return found;
}

enum { HELD = 0, BROKEN = 1, NOWHERE = 3 };

/* In a process of its own, for what is mutated may crash. */
static int explore_apart(const struct scenario *sc, const struct mutant *m, bool verbose)
{
        pid_t child;
        int   status;

        fflush(stdout);
        memset(X, 0, sizeof *X);
        child = fork();
        if (child < 0) {
                perror("fork");
                exit(2);
        }
        if (child) {
                if (waitpid(child, &status, 0) < 0)
                        return NOWHERE;
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        setitimer(ITIMER_PROF, &(struct itimerval){ .it_value.tv_sec = SECONDS }, NULL);
        X->sc = sc;
        if (m && !mutate(m))
                _exit(NOWHERE);
        snapshot = malloc((size_t)(_end - __data_start));
        if (!snapshot)
                _exit(2);
        memcpy(snapshot, __data_start, (size_t)(_end - __data_start));
        if (explore())
                _exit(HELD);
        if (!m || verbose)
                explain();
        fflush(stdout);
        _exit(BROKEN);
}

static const char *const mutation_name[] = { "", "relaxed", "skipped", "torn", "blind", "forced" };

/* Answers whether it went as it must. */
static bool judge(const struct scenario *sc, const struct mutant *m, bool verbose)
{
        int r = explore_apart(sc, m, verbose);

        if (!m) {
                printf("%s: %s, %llu executions, at most %u deviations\n", sc->name,
                       r == HELD ? "holds" : "BROKEN", (unsigned long long)X->executions,
                       sc->bound);
                if (r > BROKEN)
                        printf("  ended with status %d\n", r);
                return r == HELD;
        }
        if (r == NOWHERE) {
                printf("  %s: NO SUCH PLACE\n", m->site);
                return false;
        }
        printf("  %s %s: %s", m->site, mutation_name[m->what], r == HELD ? "NOT CAUGHT" : "caught");
        if (r == BROKEN)
                printf(" at execution %llu: %s\n", (unsigned long long)X->executions, X->message);
        else if (r == HELD)
                printf(" in %llu executions\n", (unsigned long long)X->executions);
        else
                printf(": ended with %d\n", r);
        return r == BROKEN || (r > 128 && r != 128 + 14);
}

/* model-NAME try SCENARIO SITE MUTATION [VALUE] */
static int try_mutant(const struct scenario *scenarios, size_t n, char **argv)
{
        struct mutant m = { .site = argv[3], .value = argv[5] ? strtoull(argv[5], NULL, 0) : 0 };

        for (int i = 0; i < (int)(sizeof mutation_name / sizeof mutation_name[0]); i++)
                if (!strcmp(argv[4], mutation_name[i]))
                        m.what = (enum model_mutation)i;
        for (size_t i = 0; i < n && m.what; i++)
                if (!strcmp(scenarios[i].name, argv[2]))
                        return !judge(&scenarios[i], &m, false);
        fprintf(stderr, "no scenario %s, or no mutation %s\n", argv[2], argv[4]);
        return 2;
}

int model_main(int argc, char **argv, const struct scenario *scenarios, size_t n)
{
        bool        verbose = argc > 1 && !strcmp(argv[argc - 1], "-v"), good = true;
        const char *only = argc > 1 + verbose ? argv[1] : NULL;

        if (only && !strcmp(only, "--sites")) {
                for (struct site *s = __start_model_sites; s < __stop_model_sites; s++)
                        printf("%s:%d: %s:%s\n", s->file, s->line, s->func, s->op);
                return 0;
        }
        X = mmap(NULL, sizeof *X, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (X == MAP_FAILED) {
                perror("mmap");
                return 2;
        }
        if (only && !strcmp(only, "try") && argc >= 5)
                return try_mutant(scenarios, n, argv);
        for (size_t i = 0; i < n; i++) {
                const struct scenario *sc = &scenarios[i];

                if (only && !strstr(sc->name, only))
                        continue;
                good = judge(sc, NULL, verbose) && good;
                for (unsigned k = 0; k < MODEL_MUTANTS && sc->mutants[k].site; k++)
                        good = judge(sc, &sc->mutants[k], verbose) && good;
        }
        return !good;
}
