#!/bin/bash
# Tests of tools/gdb/weir-gdb.py with a program under gdb, and with its core. Run one, or all:
#
#       gdb.sh PATH/TO/libweir.a [NAME]

set -u

library=$(realpath "$1")
top=$(realpath "$(dirname "$0")/../..")
# shellcheck source=../shell.sh
. "$(dirname "$0")/../shell.sh"
[ $# = 1 ] && run_all "$library"

# Stops in stop_here with goroutines that wait in a channel, in a mutex, and one that runs.
build() {
        cat >program.c <<'END'
#include <weir.h>
#include <stdlib.h>

static weir_mutex lock;

static __attribute__((noinline)) int inner(weir_chan *c)
{
        int v = 0;

        weir_recv(c, &v);
        __asm__ volatile("" : "+r"(v));
        return v;
}

weir_task(receiver, my, { weir_chan *c; })
{
        inner(my->c);
}

weir_task(locker, my, { int unused; })
{
        weir_mutex_lock(&lock);
}

__attribute__((noinline)) void stop_here(int n)
{
        if (getenv("DIE"))
                abort();
        __asm__ volatile("" : : "r"(n));
}

WEIR_MAIN(argc, argv)
{
        weir_mutex_lock(&lock);
        weir_go_with(&(weir_go_options){ .name = "reader" }, receiver,
                     .c = weir_chan_make(int, 0));
        weir_go(locker, .unused = 0);
        weir_sleep(20 * WEIR_MILLISECOND);
        stop_here(42);
        return 0;
}
END
        cc -O1 -g -fno-omit-frame-pointer -I"$top/include" program.c "$library" -lpthread \
                -o program || fail "the program cannot be built"
}

debugger() { # COMMAND... of gdb
        local arguments=() command

        for command in "$@"; do
                arguments+=(-ex "$command")
        done
        gdb -q -nx -batch -ex 'set debuginfod enabled off' -x "$top/tools/gdb/weir-gdb.py" \
                "${arguments[@]}" "${program[@]}"
}

looks_right() {
        contains "the list" "$out" '1 [running, thread '
        contains "the list" "$out" 'the root goroutine'
        contains "the list" "$out" '2 "reader" [chan receive 0x'
        contains "the list" "$out" '] receiver'
        contains "the list" "$out" '3 [mutex 0x'
        contains "the reader's stack" "$out" 'weir_chan_recv'
        contains "the reader's stack" "$out" ' inner (c='
        contains "the locker's stack" "$out" 'weir_mutex_lock'
        contains "the locker's stack" "$out" 'locker'
        contains "the root's stack" "$out" 'stop_here (n='
        contains "the thread's stack afterwards" "${out##*afterwards}" '=42) at program.c'
        same "errors of Python" "$(grep -c Traceback <<<"$out$err")" 0
}

look=('info goroutines' 'goroutine 2 bt' 'goroutine 3 bt' 'goroutine 1 bt' 'echo afterwards\n' bt)

test_gdb_shows_goroutines_of_a_running_program() {
        build
        program=(program)
        WEIR_PROCS=2 try debugger 'break stop_here' run "${look[@]}"
        looks_right
        try debugger 'break stop_here' run 'goroutine all bt' 'goroutine 99 bt'
        contains "the output" "$out" 'goroutine 2 "reader" [chan receive'
        contains "the message" "$err" "no goroutine 99"
}

test_gdb_shows_goroutines_of_a_core() {
        build
        ulimit -c unlimited || skip "cores are not allowed here"
        DIE=1 WEIR_PROCS=2 try ./program
        same "the status" "$status" 134
        # A core that gdb writes (gcore) would not do: it gives up a whole MiB around each guard page.
        set -- core*
        [ -s "$1" ] || skip "this system keeps cores elsewhere: $(cat /proc/sys/kernel/core_pattern)"
        program=(program "$1")
        try debugger "${look[@]}"
        looks_right
}

# ---- one test ----

# Numbers of goroutines come in blocks for each processor.
export WEIR_PROCS=1
enter_scratch
"test_$2"
