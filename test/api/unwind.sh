#!/bin/bash
# Panics run the destructors of C++, by each C++ compiler that is here.
#
#       unwind.sh INCLUDE LIBWEIR.A FILE.cc
set -u
include=$1 library=$2 source=$3
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
ulimit -c 0
tried=0

fail() {
        echo "$compiler $flags: $*"
        exit 1
}

run() {
        ( timeout 20 "$dir/unwind" "$@"; exit $? ) >"$dir/log" 2>&1
        status=$?
}

for compiler in g++ clang++; do
        command -v $compiler >/dev/null || continue
        for flags in -O0 -O2 "-O3 -fno-omit-frame-pointer"; do
                # shellcheck disable=SC2086
                $compiler -std=c++17 $flags -fnon-call-exceptions -Wall -Wextra -I"$include" \
                        -o "$dir/unwind" "$source" "$library" -pthread >"$dir/log" 2>&1 ||
                        { cat "$dir/log"; fail "does not compile"; }
                run; test $status = 0 || { cat "$dir/log"; fail "failed with $status"; }
                for mode in noexcept twice; do
                        run $mode
                        test $status = 134 || { cat "$dir/log"; fail "$mode: did not terminate"; }
                done
                run swallow
                test $status = 2 || { cat "$dir/log"; fail "swallow was not told"; }
                grep -q 'panic: a catch (...) took a panic' "$dir/log" || fail "no message"
                tried=$((tried + 1))
        done
done
test $tried -gt 0 || { echo "skipped: no C++ compiler"; exit 77; }
echo "$tried builds passed"
