#!/bin/bash
# A C++ program compiles, links and runs; a panic runs its destructors.
#
#       cplusplus.sh INCLUDE LIBRARY SOURCE.cc
set -u

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

tried=0
for compiler in g++ clang++; do
        command -v $compiler >/dev/null || continue
        for standard in c++11 c++20; do
                $compiler -std=$standard -Wall -Wextra -Wpedantic -Wshadow -Werror -g -O2 "-I$1" \
                        "$3" "$2" -o "$dir/p" || exit 1
                timeout 20 "$dir/p" || { echo "$compiler -std=$standard: status $?"; exit 1; }
                tried=1
        done
done
[ $tried = 1 ] || { echo "skipped: no C++ compiler"; exit 77; }
