#!/bin/bash
# Tests of the command weir. Run one, or all in turn:
#
#       test.sh PATH/TO/weir [NAME]
#
# Each test runs in an empty folder with an empty cache, both of which have a space in their names.

set -u

weir=$(realpath "$1")
tree=$(dirname "$(dirname "$weir")")
export LC_ALL=C

# shellcheck source=../shell.sh
. "$(dirname "$0")/../shell.sh"
[ $# = 1 ] && run_all "$weir"

# ---- what the tests use ----

# The command refuses: status 2, nothing on stdout, one line on stderr that contains the text.
refuses() { # TEXT COMMAND...
        local text=$1
        shift
        try "$@"
        same "the status of $*" "$status" 2
        same "the output of $*" "$out" ""
        same "the number of lines of \"$err\"" "$(wc -l <"$scratch/err")" 1
        case $err in
        "weir"*"$text"*) ;;
        *) fail "\"$err\" does not say \"$text\"" ;;
        esac
}

# A program that prints VALUE.
value_program() {
        cat <<'X'
#include <weir.h>
WEIR_MAIN(argc, argv)
{
        printf("%d\n", VALUE);
        return 0;
}
X
}

header_program() {
        mkdir -p inc
        echo '#define VALUE 1' >inc/value.h
        { echo '#include "value.h"'; value_program; } >p.c
}

# Makes the script ./cc, a compiler that leaves a line in calls for each call.
counting_cc() {
        printf '#!/bin/sh\necho "$*" >>"%s/calls"\nexec cc "$@"\n' "$PWD" >cc
        chmod +x cc
        : >calls
        export CC=./cc
}

compiles() { # HOW-OFTEN COMMAND...
        local expected=$1
        shift
        : >calls
        "$@" >/dev/null || fail "$* failed"
        same "the number of compilations by $*" "$(grep -c -- ' -c ' calls)" "$expected"
}

entries() {
        find "$XDG_CACHE_HOME/weir" -mindepth 1 -maxdepth 1 -name "$1"
}

# ---- running ----

test_hello_runs_on_goroutines() {
        cat >hello.c <<'X'
#include <weir.h>
weir_task(greet, my, { int id; weir_wg *wg; })
{
        printf("%d\n", my->id);
        weir_wg_done(my->wg);
}
WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(greet, .id = 3, .wg = &wg);
        weir_wg_wait(&wg);
        return 0;
}
X
        prints 3 "$weir" run hello.c
}

test_arguments_reach_the_program() {
        cat >p.c <<'X'
#include <stdio.h>
int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                printf("[%s]", argv[i]);
        return 0;
}
X
        prints "[a b][--][-O3][p.c]" "$weir" run p.c -- "a b" -- -O3 p.c
        prints "" "$weir" run p.c --
        prints "" "$weir" run p.c
}

test_program_is_known_by_its_name() {
        printf '#include <errno.h>\n#include <stdio.h>\n#define _GNU_SOURCE\n
extern char *program_invocation_short_name;\n
int main(void) { puts(program_invocation_short_name); return 0; }\n' >"my server.v2.c"
        prints "my server.v2" "$weir" run "my server.v2.c"
}

test_exit_status_passes_through() {
        printf '#include <stdlib.h>\nint main(int argc, char **argv)
{ (void)argc; return atoi(argv[1]); }\n' >p.c
        for n in 0 1 2 7 255; do
                try "$weir" run p.c -- $n
                same "the status" "$status" $n
        done
}

test_signals_pass_through() {
        cat >p.c <<'X'
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void caught(int sig)
{
        (void)sig;
        _exit(33);
}
int main(int argc, char **argv)
{
        (void)argv;
        if (argc > 1)
                signal(SIGTERM, caught);
        puts("ready");
        fflush(stdout);
        for (;;)
                pause();
}
X
        for handler in "" handled; do
                mkfifo fifo
                "$weir" run p.c -- $handler >fifo &
                read -r line <fifo
                same "the first line" "$line" ready
                kill -TERM $!
                wait $!
                same "the status" $? "$([ -n "$handler" ] && echo 33 || echo 143)"
                rm fifo
        done
}

test_death_by_signal_passes_through() {
        printf '#include <stdlib.h>\nint main(void) { abort(); }\n' >p.c
        try "$weir" run p.c
        same "the status" "$status" 134
}

test_standard_streams_pass_through() {
        printf '#include <stdio.h>\nint main(void)
{ int c; while ((c = getchar()) != EOF) putchar(c + 1); return 0; }\n' >p.c
        same "the output" "$(printf HAL | "$weir" run p.c)" IBM
}

test_no_descriptor_leaks_into_the_program() {
        cat >p.c <<'X'
#include <fcntl.h>
#include <stdio.h>
int main(void)
{
        for (int fd = 3; fd < 100; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        printf("%d ", fd);
        return 0;
}
X
        cc -o p p.c
        try ./p
        prints "$out" "$weir" run p.c
        prints "$out" "$weir" run p.c
}

test_paths_with_spaces_work() {
        mkdir "a b" "c, d"
        { echo '#include "my value.h"'; value_program; } >"a b/my prog.c"
        echo '#define VALUE 6' >"c, d/my value.h"
        prints 6 "$weir" run "-Ic, d" "a b/my prog.c"
        echo '#define VALUE 7' >"c, d/my value.h"
        prints 7 "$weir" run -I "c, d" "a b/my prog.c"
        prints "" "$weir" build -o "c, d/my prog" -I "c, d" "a b/my prog.c"
        prints 7 "./c, d/my prog"
}

test_several_files_make_one_program() {
        printf 'int twice(int n) { return n * 2; }\n' >twice.c
        printf '#include <stdio.h>\nint twice(int);
int main(void) { printf("%%d\\n", twice(21)); return 0; }\n' >main.c
        prints 42 "$weir" run main.c twice.c
        cc -c twice.c
        prints 42 "$weir" run main.c twice.o
        printf 'int twice(int n) { return n * 3; }\n' >twice.c
        cc -c twice.c
        prints 63 "$weir" run main.c twice.o
        ar rc libtwice.a twice.o
        prints 63 "$weir" run main.c -L. -ltwice
        prints 63 "$weir" run main.c -L . -l twice
        prints 63 "$weir" run -ltwice -L. main.c
        prints 63 "$weir" run -L . -l twice main.c
}

test_a_changed_library_is_linked_again() {
        printf 'int value(void) { return 1; }\n' >value.c
        printf '#include <stdio.h>\nint value(void);
int main(void) { printf("%%d\\n", value()); return 0; }\n' >main.c
        cc -c value.c && ar rc libvalue.a value.o
        prints 1 "$weir" run main.c -L. -lvalue
        printf 'int value(void) { return 2; }\n' >value.c
        cc -c value.c && ar rc libvalue.a value.o
        prints 2 "$weir" run main.c -L. -lvalue
}

test_compiler_flags_are_passed_on() {
        value_program >p.c
        prints 5 "$weir" run -DVALUE=5 p.c
        prints 6 "$weir" run -D VALUE=6 -O0 -g3 -Wall -fno-inline -std=gnu11 -pthread p.c
        prints 7 "$weir" run p.c -DVALUE=7
        printf '#include <math.h>\n#include <stdio.h>\nint main(int argc, char **argv)
{ (void)argv; printf("%%.0f\\n", cbrt(26 + argc)); return 0; }\n' >m.c
        prints 3 "$weir" run m.c -lm
}

# ---- the environment ----

test_cc_may_hold_arguments() {
        value_program >p.c
        CC="gcc -DVALUE=8" prints 8 "$weir" run p.c
        CC="gcc  -DVALUE='(4 + 5)'" prints 9 "$weir" run p.c
}

test_cc_clang_works() {
        command -v clang >/dev/null || skip "clang is not there"
        printf '#ifdef __clang__\n#define VALUE 1\n#else\n#define VALUE 0\n#endif\n' >p.c
        value_program >>p.c
        for flags in "-Wall -Wextra -O3" "-rdynamic -static-libgcc" "-static -s" \
                     "-march=native -pthread -Wl,-z,now" "-std=c11 -include stdio.h -lm -L ."; do
                # shellcheck disable=SC2086
                CC=clang try "$weir" run $flags p.c
                same "what clang says of $flags" "$err" ""
                same "the output" "$out" 1
        done
        CC=gcc prints 0 "$weir" run p.c
}

test_variables_of_make_are_honoured() {
        value_program >p.c
        CFLAGS=-DVALUE=3 prints 3 "$weir" run p.c
        CPPFLAGS="-D 'VALUE=(1 + 3)'" prints 4 "$weir" run p.c
        CFLAGS=-DVALUE=3 prints 5 "$weir" run -UVALUE -DVALUE=5 p.c
        printf '#include <math.h>\n#include <stdio.h>\nint main(int argc, char **argv)
{ (void)argv; printf("%%.0f\\n", cbrt(26 + argc)); return 0; }\n' >m.c
        LDLIBS=-lm LDFLAGS=-Wl,-z,now prints 3 "$weir" run m.c
}

test_optimizes_unless_told_otherwise() {
        printf '#include <stdio.h>\nint main(void)\n{\n#ifdef __OPTIMIZE__\nputs("yes");
#else\nputs("no");\n#endif\nreturn 0; }\n' >p.c
        prints yes "$weir" run p.c
        prints no "$weir" run -O0 p.c
        CFLAGS=-O0 prints no "$weir" run p.c
}

# ---- trouble ----

test_compile_error_is_the_compilers() {
        printf 'int main(void)\n{\n        return nothing;\n}\n' >p.c
        for _ in 1 2; do
                try "$weir" run p.c
                same "the status" "$status" 1
                same "the output" "$out" ""
                case $err in
                *"p.c:3:"*"error:"*nothing*) ;;
                *) fail "not the compiler's message: $err" ;;
                esac
                case $err in *weir:*) fail "weir adds to it: $err" ;; esac
        done
        try "$weir" build -o p p.c
        same "the status" "$status" 1
        [ ! -e p ] || fail "a program was written"
        [ -z "$(entries '*')" ] || fail "something is left in the cache"
}

test_link_error_is_the_linkers() {
        printf 'int missing(void);\nint main(void) { return missing(); }\n' >p.c
        try "$weir" run p.c
        same "the status" "$status" 1
        case $err in *missing*) ;; *) fail "not the linker's message: $err" ;; esac
}

test_silent_compiler_failure_is_reported() {
        echo 'int main(void) { return 0; }' >p.c
        CC=false try "$weir" run p.c
        same "the status" "$status" 1
        case $err in *false*) ;; *) fail "no word about false: $err" ;; esac
}

test_missing_file_is_named() {
        refuses nowhere.c "$weir" run nowhere.c
        refuses nowhere.c "$weir" build -o x nowhere.c
        mkdir d.c
        refuses d.c "$weir" run d.c
}

test_unknown_verb_is_named() {
        refuses frobnicate "$weir" frobnicate
        refuses "weir help" "$weir"
        refuses frobnicate "$weir" help frobnicate
}

test_missing_compiler_is_named() {
        echo 'int main(void) { return 0; }' >p.c
        CC=no-such-cc refuses no-such-cc "$weir" run p.c
        CC=/no/such/cc refuses /no/such/cc "$weir" run p.c
        refuses '"cc"' env PATH=/nowhere "$weir" run p.c
}

test_build_needs_an_output() {
        echo 'int main(void) { return 0; }' >p.c
        refuses "-o" "$weir" build p.c
        refuses "-o" "$weir" build p.c -o
        refuses "twice" "$weir" build p.c -o a -o b
}

test_what_makes_no_program_is_refused() {
        echo 'int main(void) { return 0; }' >p.c
        echo text >notes.txt
        refuses "no C file" "$weir" run
        refuses "no C file" "$weir" run -O2
        refuses "no C file" "$weir" run -- p.c
        refuses "-c" "$weir" run -c p.c
        refuses "-E" "$weir" build -o x -E p.c
        refuses "-o" "$weir" run -o x p.c
        refuses "notes.txt" "$weir" run p.c notes.txt
        refuses "after --" "$weir" run p.c argument
        refuses "-I" "$weir" run p.c -I
        refuses "run" "$weir" build -o x p.c -- argument
        refuses "extra" "$weir" version extra
}

# ---- the cache ----

test_second_run_does_not_compile() {
        value_program >p.c
        counting_cc
        compiles 1 "$weir" run -DVALUE=1 p.c
        compiles 0 "$weir" run -DVALUE=1 p.c
        compiles 0 "$weir" build -o p -DVALUE=1 p.c
        same "the number of calls" "$(wc -l <calls)" 0
}

test_changed_source_is_compiled() {
        counting_cc
        echo 'int main(void) { return 0; }' >p.c
        compiles 1 "$weir" run p.c
        echo 'int main(void) { return 0; } /**/' >p.c
        compiles 1 "$weir" run p.c
        echo 'int main(void) { return 0; }' >p.c
        compiles 0 "$weir" run p.c
}

test_changed_header_is_noticed() {
        header_program
        prints 1 "$weir" run -Iinc p.c
        echo '#define VALUE 2' >inc/value.h
        prints 2 "$weir" run -Iinc p.c
        printf '#include "deep.h"\n' >inc/value.h
        echo '#define VALUE 3' >inc/deep.h
        prints 3 "$weir" run -Iinc p.c
        echo '#define VALUE 4' >inc/deep.h
        prints 4 "$weir" run -Iinc p.c
        rm inc/deep.h
        try "$weir" run -Iinc p.c
        same "the status without the header" "$status" 1
}

test_touched_header_is_not_compiled() {
        header_program
        counting_cc
        compiles 1 "$weir" run -Iinc p.c
        touch -d '2001-01-01' inc/value.h
        compiles 0 "$weir" run -Iinc p.c
        touch -d 'now + 1 day' inc/value.h
        compiles 0 "$weir" run -Iinc p.c
}

test_header_changed_while_compiling_is_not_trusted() {
        header_program
        # A compiler that is overtaken by an editor: it reads VALUE 1, the file then says 2.
        printf '#!/bin/sh\ncc "$@"; r=$?; echo "#define VALUE 2" >inc/value.h; exit $r\n' >slow
        chmod +x slow
        CC=./slow prints 1 "$weir" run -Iinc p.c
        CC=./slow prints 2 "$weir" run -Iinc p.c
}

test_changed_flags_are_compiled() {
        value_program >p.c
        counting_cc
        compiles 1 "$weir" run -DVALUE=1 p.c
        compiles 1 "$weir" run -DVALUE=2 p.c
        CFLAGS=-O1 compiles 1 "$weir" run -DVALUE=1 p.c
        C_INCLUDE_PATH=/nowhere compiles 1 "$weir" run -DVALUE=1 p.c
        compiles 0 "$weir" run -DVALUE=1 p.c
}

test_changed_compiler_is_noticed() {
        value_program >p.c
        counting_cc
        compiles 1 "$weir" run -DVALUE=1 p.c
        echo >>cc
        compiles 1 "$weir" run -DVALUE=1 p.c
}

test_changed_libweir_is_noticed() {
        value_program >p.c
        mkdir -p "tree x/bin" "tree x/lib"
        cp "$weir" "tree x/bin"
        cp "$tree"/lib/*.a "tree x/lib"
        cp -RL "$tree/include" "tree x/include"
        counting_cc
        compiles 1 "tree x/bin/weir" run -DVALUE=1 p.c
        compiles 0 "tree x/bin/weir" run -DVALUE=1 p.c
        touch "tree x/lib/libweir.a"
        compiles 1 "tree x/bin/weir" run -DVALUE=1 p.c
        echo >>"tree x/include/weir/base.h"
        compiles 1 "tree x/bin/weir" run -DVALUE=1 p.c
        rm "tree x/lib/libweir.a"
        refuses libweir.a "tree x/bin/weir" run -DVALUE=1 p.c
}

test_time_of_compilation_is_not_cached() {
        counting_cc
        printf '#include <stdio.h>\nint main(void) { puts(__TIME__); return 0; }\n' >p.c
        compiles 1 "$weir" run p.c
        compiles 1 "$weir" run p.c
}

test_damaged_entry_is_replaced() {
        header_program
        prints 1 "$weir" run -Iinc p.c
        for damage in : 'head -c 100' 'sed s/content/nonsense/'; do
                deps=$(find "$XDG_CACHE_HOME" -name .deps)
                $damage "$deps" >new
                mv new "$deps"
                prints 1 "$weir" run -Iinc p.c
        done
        rm "$(find "$XDG_CACHE_HOME" -name p)"
        prints 1 "$weir" run -Iinc p.c
}

test_warnings_are_shown_again() {
        printf 'int main(void) { int unused; return 0; }\n' >p.c
        for _ in 1 2; do
                try "$weir" run -Wall p.c
                same "the status" "$status" 0
                case $err in *unused*) ;; *) fail "no warning: $err" ;; esac
        done
        case $err in *$'\033'*) fail "colours in a file" ;; esac
}

test_concurrent_runs_do_not_disturb_each_other() {
        header_program
        for round in 1 2 3; do
                echo "#define VALUE $round" >inc/value.h
                for i in 1 2 3 4 5 6; do
                        "$weir" run -Iinc p.c >"out.$i" 2>&1 &
                done
                wait
                for i in 1 2 3 4 5 6; do
                        same "the output of run $i" "$(cat "out.$i")" "$round"
                done
        done
        same "the number of entries" "$(entries '*' | wc -l)" 1
}

test_cache_is_private() {
        echo 'int main(void) { return 0; }' >p.c
        umask 0
        try "$weir" run p.c
        same "the mode of the cache" "$(stat -c %a "$XDG_CACHE_HOME/weir")" 700
        same "the mode of an entry" "$(stat -c %a "$(entries '*')")" 700
}

test_cache_defaults_to_the_home() {
        unset XDG_CACHE_HOME
        mkdir "my home"
        echo 'int main(void) { return 4; }' >p.c
        HOME="$PWD/my home" try "$weir" run p.c
        same "the status" "$status" 4
        [ -d "my home/.cache/weir" ] || fail "no cache in the home"
}

test_without_a_home_there_is_tmp() {
        unset XDG_CACHE_HOME
        mkdir tmp
        echo 'int main(void) { return 4; }' >p.c
        for home in "" relative /dev/null /nowhere/at/all; do
                HOME=$home TMPDIR="$PWD/tmp" try "$weir" run p.c
                same "the status with HOME=$home" "$status" 4
        done
        same "the mode" "$(stat -c %a "tmp/weir-$(id -u)")" 700
        (
                unset HOME
                TMPDIR="$PWD/tmp" try "$weir" run p.c
                same "the status without HOME" "$status" 4
        ) || exit 1
}

test_a_cache_that_others_may_write_is_not_used() {
        mkdir -m 777 "$XDG_CACHE_HOME/weir" tmp "tmp/weir-$(id -u)"
        chmod 777 "$XDG_CACHE_HOME/weir" "tmp/weir-$(id -u)"
        echo 'int main(void) { return 4; }' >p.c
        TMPDIR="$PWD/tmp" refuses XDG_CACHE_HOME "$weir" run p.c
        rmdir "tmp/weir-$(id -u)"
        TMPDIR="$PWD/tmp" try "$weir" run p.c
        same "the status" "$status" 4
        rm -r "tmp/weir-$(id -u)"
        mkdir elsewhere
        ln -s "$PWD/elsewhere" "tmp/weir-$(id -u)"
        TMPDIR="$PWD/tmp" refuses XDG_CACHE_HOME "$weir" run p.c
}

test_old_entries_leave() {
        cache=$XDG_CACHE_HOME/weir
        mkdir -m 700 "$cache"
        old=$cache/0123456789abcdef0123456789abcdef
        new=$cache/0123456789abcdef0123456789abcdee
        unfinished=$cache/0123456789abcdef0123456789abcdef.Xyzzy1
        for d in "$old" "$new" "$unfinished" "$cache/mine"; do
                mkdir "$d"
                echo x >"$d/p"
        done
        touch -d '31 days ago' "$old" "$cache/mine"
        touch -d '2 days ago' "$new" "$unfinished"
        echo 'int main(void) { return 0; }' >p.c
        "$weir" run p.c || fail "run"
        [ ! -e "$old" ] || fail "the old entry is still there"
        [ ! -e "$unfinished" ] || fail "the unfinished entry is still there"
        [ -e "$new" ] || fail "the new entry is gone"
        [ -e "$cache/mine" ] || fail "something else is gone"
}

test_a_large_cache_shrinks() {
        cache=$XDG_CACHE_HOME/weir
        mkdir -m 700 "$cache"
        for i in 1 2 3; do
                mkdir "$cache/0123456789abcdef0123456789abcde$i"
                fallocate -l 120M "$cache/0123456789abcdef0123456789abcde$i/p" ||
                        skip "no fallocate"
                touch -d "$i hours ago" "$cache/0123456789abcdef0123456789abcde$i"
        done
        echo 'int main(void) { return 0; }' >p.c
        "$weir" run p.c || fail "run"
        [ ! -e "$cache/0123456789abcdef0123456789abcde3" ] || fail "the oldest is still there"
        [ -e "$cache/0123456789abcdef0123456789abcde2" ] || fail "more than needed is gone"
}

test_use_keeps_an_entry_young() {
        echo 'int main(void) { return 0; }' >p.c
        "$weir" run p.c
        touch -d '29 days ago' "$(entries '*')"
        "$weir" run p.c
        [ -n "$(find "$XDG_CACHE_HOME/weir" -mindepth 1 -maxdepth 1 -mmin -1)" ] || fail "still old"
}

test_a_cached_run_starts_in_milliseconds() {
        echo 'int main(void) { return 0; }' >p.c
        "$weir" run p.c
        best=1000
        for _ in 1 2 3 4 5 6 7 8 9 10; do
                start=$(date +%s%N)
                "$weir" run p.c
                took=$((($(date +%s%N) - start) / 1000000))
                [ $took -lt $best ] && best=$took
        done
        echo "$best ms at best"
        [ "$best" -lt 50 ] || fail "$best ms for a cached run"
}

# ---- build ----

test_build_writes_a_program() {
        value_program >p.c
        prints "" "$weir" build -o out -DVALUE=4 p.c
        prints 4 ./out
        prints "" "$weir" build -DVALUE=5 p.c -oout
        prints 5 ./out
        if ldd out | grep -v 'libc\.so\|ld-linux\|linux-vdso'; then
                fail "it needs more than libc"
        fi
        umask 027
        "$weir" build -o out2 -DVALUE=5 p.c
        same "the mode" "$(stat -c %a out2)" 750
}

test_build_replaces_a_running_program() {
        printf '#include <unistd.h>\nint main(void) { pause(); return 0; }\n' >p.c
        "$weir" build -o p p.c
        ./p &
        prints "" "$weir" build -o p -O1 p.c
        kill $!
        same "the number of files" "$(find . -name 'p*' | wc -l)" 2
}

test_build_refuses_what_it_cannot_write() {
        echo 'int main(void) { return 0; }' >p.c
        mkdir d
        refuses "d: " "$weir" build -o d p.c
        refuses "no/such" "$weir" build -o no/such/p p.c
        refuses "p.c" "$weir" build -o p.c p.c
        refuses "p.c" "$weir" build -o ./p.c p.c
        same "the source" "$(cat p.c)" 'int main(void) { return 0; }'
        prints "" "$weir" build -o /dev/null p.c
        [ -c /dev/null ] || fail "/dev/null is no device any more"
}

# ---- words ----

test_help_lists_every_verb() {
        try "$weir" help
        same "the status" "$status" 0
        list=$out
        prints "$list" "$weir" --help
        for verb in run build cpu version help; do
                case $list in *"weir $verb "*) ;; *) fail "no $verb in: $list" ;; esac
                prints "$("$weir" help $verb)" "$weir" $verb --help
                "$weir" help $verb | grep -q "^usage: weir $verb" || fail "help $verb has no usage"
        done
        if "$weir" help run | grep -n '.\{81\}'; then
                fail "lines too long for a terminal"
        fi
}

test_version_is_that_of_the_headers() {
        printf '#include <weir.h>\n#include <stdio.h>
int main(void) { puts("weir " WEIR_VERSION_STRING); return 0; }\n' >p.c
        prints "$("$weir" run p.c)" "$weir" version
        prints "$("$weir" version)" "$weir" --version
}

test_cpu_tells_what_is_used() {
        try "$weir" cpu
        same "the status" "$status" 0
        case $out in *"sse2 "*used*) ;; *) fail "no sse2 in: $out" ;; esac
        WEIR_DEBUG=cpu.avx2=off try "$weir" cpu
        case $out in *"bytes: sse2"*"many at once: sse2"*) ;; *) fail "not sse2: $out" ;; esac
        WEIR_DEBUG=cpu.all=off try "$weir" cpu
        case $out in *"bytes: plain"*"many at once: plain"*) ;; *) fail "not plain: $out" ;; esac
        refuses "takes no argument" "$weir" cpu x
}

test_a_switch_of_the_processor_must_be_one() {
        value_program | sed 's/VALUE/1/' >p.c
        prints 1 env WEIR_DEBUG=cpu.avx2=off,cpu.popcnt=off "$weir" run p.c
        WEIR_DEBUG=cpu.avx3=off try "$weir" run p.c
        same "the status" "$status" 2
        case $err in *"cannot use 'cpu.avx3=off'"*) ;; *) fail "$err" ;; esac
}

test_a_link_to_weir_works() {
        mkdir bin
        ln -s "$weir" bin/weir
        echo 'int main(void) { return 4; }' >p.c
        PATH=$PWD/bin:$PATH try weir run p.c
        same "the status" "$status" 4
}

test_dumps_have_files_and_lines() {
        [ -e "$tree/lib/libweir-symbols.a" ] || skip "built without libdw"
        cat >p.c <<'X'
#include <weir.h>
WEIR_MAIN(argc, argv)
{
        int v;

        weir_recv(weir_chan_make(int, 0), &v);
        return 0;
}
X
        try "$weir" run p.c
        same "the status" "$status" 2
        case $err in *p.c:6*) ;; *) fail "no p.c:6 in: $err" ;; esac
}

# ---- layout ----

needs_layout() {
        echo 'struct s { char a; long b; } v;' >probe.c
        try "$weir" layout probe.c
        case $err in *libdw*) skip "$err" ;; esac
}

# The line of the output that follows "best order", without the blanks.
best_order() { # STRUCT FILE
        "$weir" layout --only="$1" "$2" | sed -n '/best order/{n;s/ //g;p}'
}

test_layout_shows_padding_and_the_best_order() {
        needs_layout
        cat >p.c <<'X'
struct bad { char a; double b; int c; };
struct good { double b; int c; char a; };
int main(void) { return sizeof(struct bad) + sizeof(struct good); }
X
        prints "struct bad (p.c:1): 24 bytes, 11 of padding, aligned to 8
       0      1  char a
       1      7  -
       8      8  double b
      16      4  int c
      20      4  -
  best order: 16 bytes
    b, c, a

struct good (p.c:2): 16 bytes, 3 of padding, aligned to 8
       0      8  double b
       8      4  int c
      12      1  char a
      13      3  -
  no order is smaller" "$weir" layout p.c
}

test_layout_check_is_a_gate() {
        needs_layout
        echo 'struct bad { char a; long b; char c; }; struct good { long b; char a, c; };' >p.c
        try "$weir" layout --check p.c
        same "the status" "$status" 3
        try "$weir" layout --check --only=good p.c
        same "the status" "$status" 0
        try "$weir" layout p.c
        same "the status" "$status" 0
        refuses "no struct ugly" "$weir" layout --only=ugly p.c
}

test_layout_brings_hot_fields_together() {
        needs_layout
        cat >p.c <<'X'
struct packet {
        char  payload[100];
        int   number;           /* hot */
        char  host[60];
        short len;              // hot: of each
        void *next;             /* shot, not hotter */
        char  flags;            /* hot, too */
};
X
        try "$weir" layout p.c
        case $out in
        *"184 bytes, 9 of padding, aligned to 8, hot fields in 2 to 3 cache lines"*) ;;
        *) fail "$out" ;;
        esac
        case $out in
        *"best order: 176 bytes, hot fields in 1 cache line
    number, len, flags, payload, host, next"*) ;;
        *) fail "$out" ;;
        esac
}

test_layout_leaves_packed_structs_alone() {
        needs_layout
        cat >p.c <<'X'
struct __attribute__((packed)) wire { char a; int b; short c; };
struct __attribute__((packed)) odd { int b; char a; };
X
        try "$weir" layout --check p.c
        same "the status" "$status" 0
        same "the packed ones" "$(grep -c packed <<<"$out")" 2
}

test_layout_keeps_a_flexible_array_last() {
        needs_layout
        echo 'struct s { char n; long v; short k; char data[]; };' >p.c
        same "the order" "$(best_order s p.c)" v,k,n,data
}

test_layout_names_structs_by_their_typedef() {
        needs_layout
        echo 'typedef struct { char a; long b; char c; } pair; pair p;' >p.c
        for CC in cc clang; do
                export CC
                command -v "$CC" >/dev/null || continue
                try "$weir" layout p.c
                case $out in
                "pair (p.c:1): 24 bytes"*"best order: 16 bytes"*) ;;
                *) fail "$CC: $out" ;;
                esac
        done
}

test_layout_reads_objects_and_libraries() {
        needs_layout
        echo 'struct s { char a; long b; char c; } v;' >p.c
        cc -g -c p.c -o p.o
        ar rc p.a p.o
        cc -g -shared -fPIC p.c -o p.so
        for file in p.o p.a p.so; do
                try "$weir" layout "$file"
                case $out in *"struct s (p.c:1): 24 bytes"*) ;; *) fail "$file: $out $err" ;; esac
        done
        echo text >p.o
        refuses p.o "$weir" layout p.o
        refuses "no file given" "$weir" layout
        echo 'struct s {' >p.c
        try "$weir" layout p.c
        same "the status" "$status" 1
}

# A hundred structs of random members: the compiler is asked whether sizes are as printed, those
# proposed too, and no order that was tried by chance is smaller.
test_layout_is_right_about_random_structs() {
        needs_layout
        seed=${WEIR_SEED:-$RANDOM}
        echo "WEIR_SEED=$seed"
        RANDOM=$seed
        types=(char short int long double "void *" "_Complex float" __int128 "struct bad"
               "_Alignas(16) char" "union { char c; int i; }" "long double" _Bool "enum e")
        {
                echo 'enum e { E }; struct bad { char a; double b; int c; };'
                for s in {0..99}; do
                        printf 'struct s%d {' "$s"
                        for ((m = 0; m <= RANDOM % 9; m++)); do
                                printf ' %s m%d' "${types[RANDOM % ${#types[@]}]}" "$m"
                                ((RANDOM % 4)) || printf '[%d]' $((RANDOM % 5 + 1))
                                printf ';'
                        done
                        echo ' };'
                done
        } >p.c
        try "$weir" layout p.c
        same "the status" "$status" 0
        same "the number of structs" "$(grep -c '^struct s' <<<"$out")" 100
        # Each struct again, in the order proposed.
        awk '
                NR == FNR && /^struct s[0-9]+ \(/ { name = $2; size[name] = $4 }
                NR == FNR && /best order:/ {
                        best[name] = $3
                        getline
                        gsub(/ /, "")
                        order[name] = $0
                }
                NR == FNR { next }
                /^enum/ { print; next }
                {
                        name = $2
                        print
                        printf "_Static_assert(sizeof(struct %s) == %d, \"now\");\n",
                               name, size[name]
                        if (!(name in best))
                                next
                        body = $0
                        sub(/^[^{]*\{ */, "", body)
                        sub(/ *\};$/, "", body)
                        gsub(/union \{ char c; int i; \}/, "union u", body)
                        n = split(body, member, /; */)
                        for (i = 1; i <= n; i++)
                                if (match(member[i], / m[0-9]+(\[[0-9]+\])?$/)) {
                                        field = substr(member[i], RSTART + 1)
                                        sub(/\[.*/, "", field)
                                        of[field] = member[i]
                                }
                        printf "struct best_%s {", name
                        n = split(order[name], field_at, ",")
                        for (i = 1; i <= n; i++) {
                                gsub(/union u/, "union { char c; int i; }", of[field_at[i]])
                                printf " %s;", of[field_at[i]]
                        }
                        printf " };\n_Static_assert(sizeof(struct best_%s) == %d, \"best\");\n",
                               name, best[name]
                }
        ' <(printf '%s\n' "$out") p.c >judge.c
        [ "$(grep -c '"best"' judge.c)" -gt 10 ] || fail "only few could be better: $out"
        cc -fsyntax-only judge.c || fail "the compiler disagrees; WEIR_SEED=$seed"
}

test_layout_agrees_with_the_compiler_about_libweir() {
        needs_layout
        cat >p.c <<'X'
#include <stdio.h>
#include <weir.h>
int main(void)
{
        printf("%zu %zu %zu\n", sizeof(struct weir_map), sizeof(weir_map_iter),
               sizeof(weir_mem_stats));
        return 0;
}
X
        size_of() { "$weir" layout --only="$1" p.c | sed -n '1s/.*: \([0-9]*\) bytes.*/\1/p'; }
        prints "$(size_of weir_map) $(size_of weir_map_iter) $(size_of weir_mem_stats)" \
                "$weir" run p.c
}

# ---- one test ----

enter_scratch
mkdir "$scratch/cache dir"
export XDG_CACHE_HOME="$scratch/cache dir"
unset CC CFLAGS CPPFLAGS LDFLAGS LDLIBS CPATH C_INCLUDE_PATH WEIR_DEBUG WEIR_PROCS WEIR_TRACEBACK
"test_$2"
