#!/bin/bash
# Each header compiles alone, as C and as C++, without a warning; so do all forms of the macros.
#
#       headers.sh INCLUDE MACROS.c
set -u

warnings=(-Wall -Wextra -Wpedantic -Wshadow -Werror)
status=0

try() { # COMPILER STANDARD LANGUAGE FILE
        command -v "$1" >/dev/null || return 0
        "$1" "-std=$2" "${warnings[@]}" "-I$include" -fsyntax-only -x "$3" "$4" || {
                echo "$1 -std=$2: $name"
                status=1
        }
}

include=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

for name in $(cd "$include" && echo weir.h weir/*.h); do
        # Twice, for the guard; and not an empty file, which pedantry forbids.
        printf '#include <%s>\n#include <%s>\nextern int nothing;\n' "$name" "$name" >"$dir/alone.c"
        for standard in c11 gnu11 gnu2x; do
                try gcc $standard c "$dir/alone.c"
                try clang $standard c "$dir/alone.c"
        done
        for standard in c++11 c++20; do
                try g++ $standard c++ "$dir/alone.c"
                try clang++ $standard c++ "$dir/alone.c"
        done
done

name=$2
for standard in c11 gnu11 gnu17 gnu2x; do
        try gcc $standard c "$2"
        try clang $standard c "$2"
done
exit $status
