#!/bin/bash
# malloc and its kin from outside: libweir-malloc.so preloaded into ordinary programs, libweir.a and
# libweir.so linked into one.
#
#       test.sh BUILD [NAME]

set -u

build=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
preload=$build/lib/libweir-malloc.so
# shellcheck source=../shell.sh
. "$(dirname "$0")/../shell.sh"
[ $# = 1 ] && run_all "$build"

make_family() { # FLAGS...
        cc -O1 -w "$here/family.c" -o family "$@" -lpthread || fail "cc $*"
}

test_a_preloaded_program_allocates_from_weir() {
        make_family
        prints another ./family where
        prints weir env LD_PRELOAD="$preload" ./family where
        prints well env LD_PRELOAD="$preload" ./family
}

test_each_switch_leaves_a_program_as_it_is() {
        local switch

        make_family
        for switch in tiny=1 harden=1 harden=1,tiny=1 hugepage=0 madvfree=1 scavenge=0; do
                prints well env LD_PRELOAD="$preload" WEIR_DEBUG=$switch ./family
        done
}

test_memtrace_prints_what_is_allocated() {
        make_family
        try env LD_PRELOAD="$preload" WEIR_DEBUG=memtrace=1 ./family
        same status "$status" 0
        contains stderr "$err" "memtrace: malloc 123 0x"
        contains stderr "$err" "memtrace: free "
        try env LD_PRELOAD="$preload" WEIR_DEBUG=memtrace=900000 ./family
        contains stderr "$err" "memtrace: malloc 1000000 0x"
        case $err in *"malloc 123 "*) fail "small ones are traced too" ;; esac
}

test_operators_of_cplusplus() {
        c++ -O1 -std=c++17 "$here/operators.cc" -o operators -lpthread || fail c++
        prints well env LD_PRELOAD="$preload" ./operators
        prints well env LD_PRELOAD="$preload" WEIR_DEBUG=harden=1 ./operators
}

test_linking_the_static_library_brings_its_malloc() {
        make_family "$build/lib/libweir.a"
        prints weir ./family where
        prints well ./family
}

test_linking_the_shared_library_brings_its_malloc() {
        make_family -Wl,--no-as-needed "-Wl,-rpath,$build/lib" "-L$build/lib" -lweir
        prints weir ./family where
        prints well ./family
}

test_a_wholly_static_program() {
        make_family -static "$build/lib/libweir.a"
        prints weir ./family where
        prints well ./family
}

# ASan's interceptors allocate by its own malloc what the program frees: weir must step back.
test_a_program_built_with_a_sanitizer_keeps_its_malloc() {
        local compiler

        for compiler in gcc clang; do
                command -v $compiler >/dev/null || continue
                $compiler -O1 -w -fsanitize=address "$here/family.c" "$build/lib/libweir.a" \
                        -o family -lpthread || fail "$compiler"
                prints another env ASAN_OPTIONS=detect_leaks=0 ./family where
                prints well env ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0 ./family
                printf '%s\n' '#include <stdlib.h>' 'int main(int c, char **v) {' \
                        'char *p = malloc(10); (void)v; return p[10 + c]; }' >bad.c
                $compiler -O0 -w -fsanitize=address bad.c "$build/lib/libweir.a" -o bad -lpthread
                try ./bad
                contains "$compiler's report" "$err" heap-buffer-overflow
                $compiler -O1 -w -fsanitize=thread "$here/family.c" "$build/lib/libweir.a" \
                        -o family -lpthread || fail "$compiler"
                prints another ./family where
                prints well env TSAN_OPTIONS=allocator_may_return_null=1 ./family
        done
}

test_small_address_spaces_are_enough() {
        local kib

        make_family
        for kib in 1500000 4000000 80000000; do
                prints well bash -c "ulimit -v $kib; LD_PRELOAD=$preload ./family"
        done
}

test_shells_and_pipes_run_on_it() {
        export LD_PRELOAD=$preload
        same "a pipeline" "$(seq 1 20000 | sort -R | sort -n | tail -1)" 20000
        same "a shell" "$(bash -c 'x=; for i in {1..3000}; do x+=$i; done; echo ${#x}')" 10893
        same awk "$(awk 'BEGIN { for (i = 0; i < 50000; i++) a[i] = i ""; print length(a) }')" 50000
        unset LD_PRELOAD
}

test_an_unknown_size_of_the_limit_is_told() {
        make_family
        try env LD_PRELOAD="$preload" WEIR_MEMORY=much ./family
        contains stderr "$err" "WEIR_MEMORY=much: not a size"
        prints well env LD_PRELOAD="$preload" WEIR_MEMORY=1GiB ./family
}

# A real group of v1 or v2, where the machine lets us make one. Without a limit of its own the program
# would hold what is idle, and the kernel would kill it.
test_a_program_in_a_small_cgroup_is_not_killed() {
        local group=/sys/fs/cgroup/memory/weir-test-$$ limit=memory.limit_in_bytes i

        [ -d /sys/fs/cgroup/memory ] || { group=/sys/fs/cgroup/weir-test-$$ limit=memory.max; }
        mkdir "$group" 2>/dev/null || { echo "skipped: no cgroup of memory to be had"; exit 77; }
        # shellcheck disable=SC2064
        trap "rmdir $group" EXIT
        echo $((256 << 20)) >"$group/$limit" ||
                { echo "skipped: no limit can be set"; exit 77; }
        cc -O1 "$here/spike.c" -o spike || fail cc
        for i in 1 2 3; do
                try sh -c "echo \$\$ >$group/cgroup.procs && LD_PRELOAD=$preload exec ./spike"
                same "status of run $i" "$status" 0
                contains stdout "$out" survived
        done
        # The hard limit of the process: a refusal is reported by what cannot do without.
        make_family
        try sh -c "echo \$\$ >$group/cgroup.procs && LD_PRELOAD=$preload exec ./family"
        same "status of the family" "$status" 0
}

# A hit of the cache takes no lock and no locked instruction.
test_the_fast_paths_have_no_locked_instruction() {
        local name

        command -v objdump >/dev/null || { echo "skipped: no objdump"; exit 77; }
        for name in malloc free; do
                objdump -d --no-show-raw-insn --disassemble=$name "$preload" >text
                contains "$name" "$(cat text)" "<$name>:"
                grep -E '[[:space:]](lock|xchg|call)[[:space:]]' text | grep -v 'xchg *%ax,%ax' && fail "$name has one"
        done
        return 0
}

# Built without, the library leaves malloc to the C library, and the rest works.
test_a_build_that_leaves_malloc_alone() {
        local source
        source=$(realpath "$here/../..")

        cmake -S "$source" -B off -G Ninja -DWEIR_MALLOC=OFF -DCMAKE_BUILD_TYPE=Release >log 2>&1 &&
                cmake --build off --target weir_static weir_shared -j2 >>log 2>&1 ||
                fail "no build: $(tail -5 log)"
        nm -D --defined-only off/lib/libweir.so >names
        grep -E ' (malloc|free|calloc|realloc)$' names && fail "libweir.so has malloc"
        make_family "off/lib/libweir.a"
        prints another ./family where
        prints well ./family
        cat >go.c <<'EOF'
#include <weir.h>
#include <stdio.h>
weir_task(add, my, { weir_chan *c; int n; }) { weir_send(my->c, &my->n); }
WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 0);
        int sum = 0, v;
        for (int i = 0; i < 100; i++) weir_go(add, .c = c, .n = i);
        for (int i = 0; i < 100; i++) if (weir_recv(c, &v)) sum += v;
        printf("%d\n", sum);
        return 0;
}
EOF
        cc -O1 -I"$source/include" go.c off/lib/libweir.a -o go -lpthread || fail "cc go.c"
        prints 4950 ./go
}

enter_scratch
"test_$2"
