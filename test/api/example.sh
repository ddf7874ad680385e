#!/bin/bash
# The example in a header compiles without a warning; one marked "(run)" ends with status 0.
#
#       example.sh INCLUDE LIBRARY weir/NAME.h
set -u

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
header=$1/$3

awk '/^ \* Example/ { on = 1; next }
     on && /^ \*\// { exit }
     on             { sub(/^ \*( {9})?/, ""); print }' "$header" >"$dir/example.c"
grep -q . "$dir/example.c" || { echo "$header has no example"; exit 1; }

for compiler in gcc clang; do
        command -v $compiler >/dev/null || continue
        for level in -O0 -O2; do
                $compiler -std=gnu11 $level -g -Wall -Wextra -Wpedantic -Wshadow -Werror \
                        -fexceptions -fnon-call-exceptions "-I$1" "$dir/example.c" "$2" \
                        -o "$dir/example" || exit 1
                grep -q '^ \* Example (run):' "$header" || continue
                timeout 20 "$dir/example" >"$dir/out" || {
                        echo "$compiler $level: status $?"
                        cat "$dir/out"
                        exit 1
                }
        done
done
