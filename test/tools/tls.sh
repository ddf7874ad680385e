#!/bin/bash
# Proves that libweir keeps no thread-local address across a switch, in the code that gcc and clang
# make of it; and that the proof would notice one. Run one, or all in turn:
#
#       tls.sh TOP_OF_THE_TREE [NAME]

set -u

top=$(realpath "$1")
# shellcheck source=../shell.sh
. "$(dirname "$0")/../shell.sh"
[ $# = 1 ] && run_all "$top"

# Without jump tables, whose jumps the analysis must take for jumps to anywhere.
flags=(-fno-jump-tables -std=gnu11 -D_GNU_SOURCE -DWEIR_CHECK=0 -fvisibility=hidden -fexceptions -w
        "-I$top/include" "-I$top/src")
sources=("$top"/src/*/*.c "$top"/src/os/linux/*.c)
for file in "$top"/src/arch/x86_64/*.[cS]; do
        case $file in
        *_avx*) ;;                      # need a processor of their own; see special()
        *) sources+=("$file") ;;
        esac
done

# What is built for processors that not all are (CMakeLists.txt).
special() { # CC FLAG...
        local of

        special_objects=()
        for of in bytes words; do
                "$@" "${flags[@]}" -mavx2 -mbmi -mbmi2 -mlzcnt -mpopcnt -c -o ${of}_avx2.o \
                        "$top/src/arch/x86_64/${of}_avx2.c" &&
                "$@" "${flags[@]}" -mavx2 -mbmi -mbmi2 -mlzcnt -mpopcnt -mavx512f -mavx512bw \
                        -mavx512vl -c -o ${of}_avx512.o "$top/src/arch/x86_64/${of}_avx512.c" ||
                        return 1
                special_objects+=(${of}_avx2.o ${of}_avx512.o)
        done
}

# Both sets of objects that the build makes: position-independent for the shared library, and less so
# for the static one. What is exported stays in the program whether it is called or not.
library() { # CC FLAG...
        special "$@" -fPIC &&
        "$@" "${flags[@]}" -fPIC -shared -o libweir.so "${sources[@]}" "${special_objects[@]}" \
                "-Wl,--version-script=$top/cmake/weir.map" "${extra[@]}"
}

program() { # CC FLAG...
        special "$@" -fPIE &&
        "$@" "${flags[@]}" -fPIE -pie -rdynamic -o program "${sources[@]}" "${special_objects[@]}" \
                "$top/test/tools/tls/main.c" "${extra[@]}"
}

holds() { # CC FLAG...
        command -v "$1" >/dev/null || skip "there is no $1"
        extra=()
        library "$@" || fail "$* cannot build the library"
        program "$@" || fail "$* cannot build a program"
        try "$top/tools/tlscheck" libweir.so program
        echo "$out"
        same "the status for $*" "$status" 0
}

# Each planted function is found, and no other: that of the library is as clean as ever.
finds() { # CC FLAG...
        local name

        command -v "$1" >/dev/null || skip "there is no $1"
        extra=("$top/test/tools/tls/planted.c")
        library "$@" || fail "$* cannot build the library"
        try "$top/tools/tlscheck" libweir.so
        same "the status for $*" "$status" 1
        for name in register slot path argument store accessor pointer errno direct; do
                contains "what is found with $*" "$out" ": weir_bad_$name"
        done
        same "what else is found with $*" \
                "$(grep -v ': weir_bad_\|: write_after\| wrong$' <<<"$out")" ""
}

test_tls_gcc_o2() { holds gcc -O2; }
test_tls_gcc_o3() { holds gcc -O3; }
test_tls_gcc_lto() { holds gcc -O3 -flto; }
test_tls_clang_o2() { holds clang -O2; }
test_tls_clang_o3() { holds clang -O3; }
test_tls_clang_lto() { holds clang -O3 -flto; }

test_tls_finds_what_is_planted_gcc() { finds gcc -O2; }
test_tls_finds_what_is_planted_gcc_lto() { finds gcc -O3 -flto; }
test_tls_finds_what_is_planted_clang() { finds clang -O2; }

test_tls_needs_a_switch_to_judge() {
        gcc -O1 -o program "$top/test/tools/tls/main.c"
        try "$top/tools/tlscheck" program
        same "the status" "$status" 2
        contains "the message" "$err" "no weir__arch_switch"
        try "$top/tools/tlscheck" nothing
        same "the status" "$status" 2
}

# ---- one test ----

enter_scratch
"test_$2"
