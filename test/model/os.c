/* The system of a model test: a clock that stands still until somebody moves it, futexes and a
 * poller that wait in the explorer, memory from the execution's heap. */
#include "os.h"
#include "base/debug.h"
#include "gc/gc.h"
#include "os/os.h"
#include "sched/state.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* For models that have the shipped one. */
#define weak __attribute__((weak))

struct model_os model_os;

int64_t weir__os_now(void)
{
        return model_os.now += model_os.step ? model_os.step : 1;
}

void *weir__os_map(size_t size)
{
        return model_alloc(size);
}

void *weir__malloc(size_t size)
{
        return malloc(size);
}

void weir__free(void *p)
{
        free(p);
}

void *weir__memalign(size_t align, size_t size)
{
        (void)align;
        return model_alloc(size);
}

void weir__os_unmap(void *addr, size_t size)
{
        (void)addr;
        (void)size;
}

void *model_realloc(void *old, size_t size);
void *model_realloc(void *old, size_t size)
{
        if (old)
                model_fail("realloc of what is there is not modelled");
        return model_alloc(size);
}

size_t weir__os_peek(void *dst, const void *src, size_t n)
{
        (void)dst;
        (void)src;
        (void)n;
        return 0;
}

void weir__os_yield(void)
{
        model_yield();
}

/* Only a thread whose work is over sleeps in the runtime. */
void weir__os_sleep(int64_t ns)
{
        (void)ns;
        model_exit();
}

int model_sched_yield(void);
int model_sched_yield(void)
{
        model_yield();
        return 0;
}

int model_nanosleep(const struct timespec *a, struct timespec *b);
int model_nanosleep(const struct timespec *a, struct timespec *b)
{
        (void)a;
        (void)b;
        model_yield();
        return 0;
}

static int the_errno[MODEL_THREADS + 1];

int *weir__os_errno_address(void)
{
        return &the_errno[model_self() + 1];
}

int weir__os_errno_get(void)
{
        return 0;
}

void weir__os_errno_set(int value)
{
        (void)value;
}

/* ---- futex ---- */

struct sleeper {
        const uint32_t *word;
        bool            woken;
};

static struct sleeper sleeper[MODEL_THREADS];

static bool woken(void *arg)
{
        return ((struct sleeper *)arg)->woken;
}

bool weir__os_futex_wait(const uint32_t *word, uint32_t value, int64_t ns)
{
        struct sleeper *s = &sleeper[model_self()];

        if (*(volatile const uint32_t *)word != value)
                return true;
        *s = (struct sleeper){ .word = word };
        if (ns >= 0)
                return model_wait_timed(woken, s);
        model_wait(woken, s);
        return true;
}

void weir__os_futex_wake(const uint32_t *word, int count)
{
        for (int i = 0; i < MODEL_THREADS && count; i++)
                if (sleeper[i].word == word && !sleeper[i].woken) {
                        sleeper[i].woken = true;
                        count--;
                }
}

/* ---- poller ---- */

static bool poll_ready(void *arg)
{
        (void)arg;
        return model_os.interrupted || model_os.event;
}

int weir__os_poll_wait(struct os_event *events, int max, int64_t ns)
{
        (void)max;
        if (ns) {
                model_os.poll_ns = ns;
                model_os.in_poller++;
                if (ns < 0)
                        model_wait(poll_ready, NULL);
                else if (!model_wait_timed(poll_ready, NULL))
                        model_os.now += ns;
                model_os.in_poller--;
        }
        model_os.interrupted = false;
        if (!model_os.event)
                return 0;
        events[0] = (struct os_event){ .data = model_os.event, .what = model_os.event_what };
        model_os.event = NULL;
        return 1;
}

void weir__os_poll_interrupt(void)
{
        model_os.interrupted = true;
}

int weir__os_poll_add(int fd, void *data)
{
        (void)fd;
        (void)data;
        return 0;
}

void weir__os_poll_remove(int fd)
{
        (void)fd;
}

int model_close(int fd);
int model_close(int fd)
{
        (void)fd;
        model_os.closed++;
        return 0;
}

/* ---- threads ---- */

void weir__os_thread_name(const char *name)
{
        (void)name;
}

void weir__os_thread_precise_timers(void)
{
}

void weir__os_sigstack_install(void)
{
}

void weir__os_thread_stack(char **ret_low, char **ret_high)
{
        *ret_low = *ret_high = NULL;
}

int weir__os_thread_id(void)
{
        return model_self() + 1;
}

int weir__os_thread_start(void (*fn)(void *), void *arg, size_t stack_size)
{
        (void)fn;
        (void)arg;
        (void)stack_size;
        return -EAGAIN;         /* scenarios start with all their threads */
}

bool weir__os_fence_all_init(void)
{
        return true;
}

bool weir__os_fence_all(void)
{
        model_fence_all();
        return true;
}

/* ---- what is never called ---- */

_Noreturn void weir__throw(const char *fmt, ...)
{
        model_fail("throw: %s", fmt);
}

_Noreturn void weir__panic(const char *fmt, ...)
{
        model_fail("panic: %s", fmt);
}

void weir__monitor_raise(void)
{
}

struct debug weir__debug;

void weir__out_print(struct out *o, const char *fmt, ...)
{
        (void)o;
        model_fail("prints: %s", fmt);
}

void weir__out_flush(struct out *o)
{
        (void)o;
}

size_t weir__fmt(char *buf, size_t size, const char *fmt, ...)
{
        (void)size;
        (void)fmt;
        buf[0] = 0;
        return 0;
}

void weir__dump_all(struct out *o)
{
        (void)o;
}

const char *weir_error_name(int err)
{
        (void)err;
        return "";
}

void weir__os_sigstack_remove(void)
{
}

struct g *weir__sched_regain(const char *call)
{
        model_fail("%s: a thread without a processor", call);
}

int weir__os_at_thread_exit(void (*fn)(void))
{
        (void)fn;
        return 0;
}

void weir__os_signals_as_kept(void)
{
}

bool weir__sched_spawn_ahead(struct p *p)
{
        (void)p;
        return false;
}

uint64_t weir__sched_new_id(struct p *p)
{
        (void)p;
        return 1;
}

void weir__sched_check_args(size_t size)
{
        (void)size;
}

void weir__sched_spawn(const void *site, void (*fn)(void *), const void *args, size_t size,
                       size_t stack_size, const char *name, void (*after)(void *), void *after_arg)
{
        (void)site, (void)fn, (void)args, (void)size, (void)stack_size, (void)name, (void)after, (void)after_arg;
        model_fail("a goroutine was started");
}

/* No function of a scenario panics. */
int weir__panic_hold(void (*fn)(void *arg), void *arg, struct weir_panic_info *ret)
{
        (void)ret;
        fn(arg);
        return 0;
}

void weir__panic_again(int held, const struct weir_panic_info *info)
{
        (void)held, (void)info;
        model_fail("a panic goes on");
}

/* ---- what no scenario does: canaries, fewer processors ---- */

bool weir__stack_canary_broken(const struct stack *s)
{
        (void)s;
        return false;
}

void weir__fault_canary(struct g *g)
{
        (void)g;
        model_fail("a canary was checked");
}

bool weir__p_retired(struct p *p)
{
        (void)p;
        return false;
}

void weir__sched_need_runtime(const char *call)
{
        (void)call;
}

/* ---- the usual order ---- */

int64_t weir__sched_clock(void)
{
        return weir__os_now();
}

int64_t weir__sched_now(void)
{
        return weir__os_now();
}

#define UNUSED_HERE(ret, name, params, value) \
        ret name params { model_fail(#name " was called"); return value; }

UNUSED_HERE(uint32_t, weir__order_budget, (struct p *p __attribute__((unused))), 0)
UNUSED_HERE(uint32_t, weir__order_count, (void), 0)
UNUSED_HERE(uint32_t, weir__order_draw, (uint32_t n __attribute__((unused))), 0)
UNUSED_HERE(uint32_t, weir__order_gather, (struct p *p __attribute__((unused))), 0)
UNUSED_HERE(struct g *, weir__order_take, (uint32_t i __attribute__((unused))), NULL)

void weir__order_jump(struct p *p, int64_t when)
{
        (void)p;
        (void)when;
}

void weir__order_shuffle(struct p *p)
{
        (void)p;
}

void weir__order_step(void)
{
}

void weir__order_tell(struct out *o)
{
        (void)o;
}

/* Nobody stops the world here. */
weak void weir__world_stand(void)
{
}

/* ---- sched/scan.c: no collector here ---- */

void weir__scan_touch(struct g *g);
void weir__scan_touch(struct g *g)
{
        (void)g;
}

/* ---- sched/watch.c: off ---- */

void weir__watch_parks(struct g *g);
void weir__watch_parks(struct g *g)
{
        (void)g;
}

/* No scenario needs it: who unlocks for another goroutine. */
weak void weir__world_stop(void)
{
        model_fail("the world is to be stopped");
}

weak void weir__world_start(void)
{
}

void weir__sched_each(bool (*fn)(void *g, void *arg), void *arg)
{
        (void)fn;
        (void)arg;
}

/* ---- memory: nothing is collected ---- */

struct gc_hooks weir__gc_hooks;
uint32_t        weir__gc_barrier;

void weir__mem_shade(const void *p)
{
        (void)p;
}

void weir__mem_no_roots(const void *p, size_t size)
{
        (void)p, (void)size;
}

void weir__mem_stores(const void *slot, const void *value)
{
        (void)slot, (void)value;
}

void *weir__mem_alloc(enum mem_kind kind, size_t size)
{
        (void)kind;
        return model_alloc(size);
}

size_t weir__mem_room(const void *p)
{
        (void)p;
        return SIZE_MAX;
}

void weir_gc_move(void *dst, const void *src, size_t size)
{
        if (size)
                memmove(dst, src, size);
}

weak bool weir__sched_spawn_outside(void (*fn)(void *), const char *name)
{
        (void)fn;
        (void)name;
        return false;
}

uint32_t weir__sched_procs(void)
{
        return 4;
}
