#!/bin/bash
# Tests of tools/deps, tools/layers, tools/mkclass, tools/atomics and of the runner of crash tests. Run one, or all in turn:
#
#       test.sh PATH/TO/crash-runner [NAME]

set -u

runner=$(realpath "$1")
tools=$(realpath "$(dirname "$0")/../../tools")
# shellcheck source=../shell.sh
. "$(dirname "$0")/../shell.sh"
[ $# = 1 ] && run_all "$runner"

# ---- deps ----

# Makes bin/NAME, a command that notes its calls in the file calls and then does BODY.
fake() { # NAME BODY
        printf '#!/bin/sh\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$PWD" "$2" >"bin/$1"
        chmod +x "bin/$1"
}

# A machine on which everything that deps looks for is there, and nothing else.
machine() {
        local command

        mkdir bin
        : >calls
        for command in sh env cat rm mktemp; do
                ln -s "$(command -v $command)" "bin/$command"
        done
        for command in cmake ninja pkg-config llvm-symbolizer c++ curl gdb objdump wrk python3 go; do
                fake $command :
        done
        printf '#!/bin/sh\nprintf "%%s (libc6)\\n" %s\n' \
                'libmimalloc.so.2 libjemalloc.so.2 libtcmalloc_minimal.so.4' >bin/ldconfig
        printf '#!/bin/sh\n! grep -qxFf - missing-headers\n' >bin/cc
        ln -s "$(command -v grep)" bin/grep
        printf '#!/bin/sh\ncase $1 in -dumpversion) echo 23.4.5 ;; *) echo %q ;; esac\n' \
                "$PWD/runtime" >bin/clang
        printf '#!/bin/sh\necho x86_64\n' >bin/uname
        printf '#!/bin/sh\necho 1000\n' >bin/id
        chmod +x bin/ldconfig bin/cc bin/clang bin/uname bin/id
        : >missing-headers
        : >runtime
}

deps() {
        try env -i "PATH=$PWD/bin" "$tools/deps" "$@"
}

test_deps_is_silent_when_nothing_lacks() {
        machine
        fake apt-get :
        fake sudo :
        for group in build test demo bench; do
                deps $group
                same "the status for $group" "$status" 0
                same "the output for $group" "$out$err" ""
        done
        same "what was called" "$(cat calls)" ""
}

test_deps_names_what_a_user_has_to_install() {
        machine
        rm bin/ninja bin/cmake
        echo '#include <xxhash.h>' >missing-headers
        deps build
        same "the status" "$status" 1
        same "the output" "$out" ""
        contains "the message" "$err" "apt-get install cmake ninja-build libxxhash-dev"
        same "the number of lines" "$(wc -l <"$scratch/err")" 1
        fake sudo 'exit 1'
        fake apt-get :
        deps build
        same "the status with a sudo that asks" "$status" 1
        same "what was called" "$(cat calls)" "sudo -n true"
}

test_deps_installs_as_root() {
        machine
        printf '#!/bin/sh\necho 0\n' >bin/id
        rm bin/wrk
        fake apt-get "case \$1 in install) printf '#!/bin/sh\n' >bin/wrk; chmod +x bin/wrk; esac"
        ln -s "$(command -v chmod)" bin/chmod
        deps demo
        same "the status" "$status" 0
        same "the number of calls" "$(wc -l <calls)" 1
        contains "the call" "$(cat calls)" "apt-get install -y --no-install-recommends"
        contains "the call" "$(cat calls)" " wrk"
}

test_deps_fetches_lists_only_after_a_failure() {
        machine
        printf '#!/bin/sh\necho 0\n' >bin/id
        ln -s "$(command -v chmod)" bin/chmod
        rm bin/wrk
        fake apt-get 'case "$1 $2" in
                "-q update") : >updated ;;
                *) test -e updated || exit 100; printf "#!/bin/sh\n" >bin/wrk; chmod +x bin/wrk ;;
        esac'
        deps demo
        same "the status" "$status" 0
        same "the verbs" "$(cut -d' ' -f2 calls | tr '\n' ' ')" "install -q install "
}

test_deps_says_why_apt_failed() {
        machine
        printf '#!/bin/sh\necho 0\n' >bin/id
        rm bin/wrk
        fake apt-get 'echo "E: the disk is full"; exit 100'
        deps demo
        same "the status" "$status" 1
        contains "the message" "$err" "E: the disk is full"
        contains "the message" "$err" "could not install: wrk"
}

test_deps_asks_for_the_runtime_of_the_clang_there_is() {
        machine
        rm runtime
        deps test
        contains "the message" "$err" "libclang-rt-23-dev"
        rm bin/clang
        deps test
        contains "the message" "$err" "clang libclang-rt-dev"
}

test_deps_knows_its_groups() {
        machine
        deps nonsense
        same "the status" "$status" 2
        contains "the message" "$err" nonsense
}

# ---- layers ----

layers() { # PATH TEXT: a tree with one file
        rm -rf tree
        mkdir -p "tree/$(dirname "$1")" tree/tools
        cp "$tools/layers" tree/tools
        printf '%s\n' "$2" >"tree/$1"
        try tree/tools/layers
}

accepts() {
        layers "$@"
        same "the status for $1: $2" "$status" 0
}

complains() {
        layers "$@"
        [ "$status" != 0 ] || fail "no complaint about $1: $2"
        contains "the complaint" "$out" "$1:1: "
}

test_layers_allow_what_is_below() {
        accepts src/chan/chan.c '#include "sched/sched.h"'
        accepts src/chan/chan.c '#include "sync/sync.h"'
        accepts src/os/linux/mem.c '#include "arch/arch.h"'
        accepts src/chan/chan.c '#include "chan/wait.h"'
        accepts src/chan/chan.c '#include "wait.h"'
        accepts src/sched/g.h '#include "base/atomic.h"'
        accepts src/net/tcp.c '#include <weir/net.h>'
}

test_layers_refuse_what_is_above() {
        complains src/sched/sched.h '#include "chan/chan.h"'
        complains src/os/os.h '  #  include "sched/sched.h"'
        complains src/base/lock.h '#include "os/os.h"'
        complains src/arch/x86_64/switch.S '#include "stack/stack.h"'
}

test_layers_refuse_the_insides_of_others() {
        complains src/chan/chan.c '#include "sched/g.h"'
        complains src/sched/run.c '#include "os/linux/epoll.h"'
        complains src/chan/chan.c '#include "nowhere/nowhere.h"'
        complains src/nowhere/new.c 'int x;'
}

test_layers_keep_the_platform_in_its_place() {
        complains src/chan/chan.c '#ifdef __x86_64__'
        complains src/chan/chan.c '#if defined(__linux__) || 0'
        complains src/data/bytes.c '#elif defined __AVX2__'
        complains src/base/base.h '#ifndef __aarch64__'
        accepts src/os/linux/mem.c '#ifdef __x86_64__'
        accepts src/arch/x86_64/cpu.c '#ifdef __linux__'
        accepts src/chan/chan.c '#if WEIR_CHECK >= 1 && defined(__SANITIZE_ADDRESS__)'
        accepts src/chan/chan.c '/* #ifdef __x86_64__ would be wrong here */'
}

# ---- crash-runner ----

crash() { # EXPECTATION PROGRAM
        printf "$1" >expected.out
        printf '#!/bin/sh\n%s\n' "$2" >program
        chmod +x program
        try "$runner" expected.out ./program
}

test_crash_accepts_what_is_expected() {
        crash '2\n^panic: .*\n^goroutine [0-9]+\n' \
                'echo "noise
panic: here
more noise
goroutine 7 [running]:" >&2; exit 2'
        same "the status" "$status" 0
        crash 'signal 6\n' 'kill -6 $$'
        same "the status" "$status" 0
        crash '0\n# a comment\n\n^a$\n' 'echo a >&2'
        same "the status" "$status" 0
}

test_crash_refuses_another_end() {
        crash '2\n' 'exit 3'
        same "the status" "$status" 1
        contains "the message" "$err" "ended with 3, not with 2"
        crash '2\n' 'kill -11 $$'
        same "the status" "$status" 1
        contains "the message" "$err" "ended with signal 11, not with 2"
}

test_crash_refuses_other_words() {
        crash '2\n^b$\n^a$\n' 'printf "a\nb\n" >&2; exit 2'
        same "the status for the wrong order" "$status" 1
        contains "the message" "$err" "no line"
        crash '2\n^a$\n^a$\n' 'echo a >&2; exit 2'
        same "the status for a line that matches twice" "$status" 1
        crash '2\n^a$\n' 'echo a; exit 2'
        same "the status for standard output" "$status" 1
        crash '2\n(\n' 'exit 2'
        same "the status for a broken pattern" "$status" 1
}

test_crash_passes_a_skip_on() {
        crash '2\n' 'echo "no userfaultfd here" >&2; exit 77'
        same "the status" "$status" 77
        crash '77\n' 'exit 77'
        same "the status" "$status" 0
}

# ---- size classes ----

test_the_table_of_size_classes_is_what_its_generator_makes() {
        "$tools/mkclass" >made || fail "mkclass: its argument does not hold"
        diff -u "$tools/../src/mem/class.def" made || fail "src/mem/class.def: run tools/mkclass"
        contains "the table for readers" "$("$tools/mkclass" --table)" "waste"
}

# ---- atomic instructions ----

test_atomics_are_listed_by_function() {
        cat >a.c <<'END'
int shared;
void adds(void) { __atomic_fetch_add(&shared, 1, __ATOMIC_SEQ_CST); }
int swaps(int v) { return __atomic_exchange_n(&shared, v, __ATOMIC_SEQ_CST); }
void fences(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
int reads(void) { return shared; }
int registers(int a, int b) { return a ^ b; }
END
        ${CC:-cc} -O2 -c -o a.o a.c || skip "no compiler"
        try "$tools/atomics" a.o
        same "the status" "$status" 0
        contains "who adds" "$(grep ^adds <<<"$out")" " 1"
        contains "who swaps" "$(grep ^swaps <<<"$out")" " 1"
        contains "who fences" "$(grep ^fences <<<"$out")" " 1"
        same "who does none" "$(grep -E '^(reads|registers)' <<<"$out")" ""
        contains "the sums" "$out" "3 of 5 functions"
}

test_atomics_refuse_what_is_no_program() {
        echo text >a.txt
        try "$tools/atomics" a.txt
        same "the status for a text" "$status" 2
        try "$tools/atomics" missing
        same "the status for no file" "$status" 2
}

# ---- one test ----

enter_scratch
"test_$2"
