#!/bin/bash
# Every program in the README and the guide compiles without a warning, runs, and prints what the
# page says it prints.
#
#       guide.sh SOURCE_DIR COMPILER FLAGS LIBS
#
# A block that begins with ```c complete is a program. Where ```text output follows it, that is what
# it prints; where ```text says follows, each line of that, with … for anything, is on its stderr.
# ```c complete status=2: how it ends. A program with neither is compiled only, and so is one marked
# `faults` when the sanitizers, which have their own handlers, would answer for it.
set -uo pipefail

source=$1 cc=$2 flags=$3 libs=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
programs=0
failures=0

failed() {
        echo "FAILED: $1"
        [ ! -s "${2-}" ] || head -c 2000 "$2"
        failures=$((failures + 1))
}

# Writes program N of a page to N.c, what it should print to N.output or N.says, and its status to
# N.status.
extract() {
        awk -v dir="$dir/$1" '
                /^```c complete/ {
                        n++
                        file = dir "/" n ".c"
                        if (match($0, /status=[0-9]+/))
                                print substr($0, RSTART + 7, RLENGTH - 7) >(dir "/" n ".status")
                        if (/ faults/)
                                print >(dir "/" n ".faults")
                        next
                }
                /^```text (output|says)/ && last == "program" { file = dir "/" n "." $2; next }
                /^```/ { last = file ~ /\.c$/ ? "program" : ""; close(file); file = ""; next }
                file { print >file }
                !file && NF { last = "" }
        '
}

says() { # LINES OUTPUT
        while IFS= read -r line; do
                grep -qE -- "$(sed 's/[][\.*^$+?(){}|]/\\&/g; s/…/.*/g' <<<"$line")" "$2" ||
                        { echo "missing: $line"; return 1; }
        done <"$1"
}

try() { # NAME PROGRAM.c
        local base=${2%.c} expected=0 status

        # shellcheck disable=SC2086  # flags and libraries are several words
        if ! $cc $flags -Wall -Wextra -Wpedantic -Wshadow -Werror "$2" $libs -o "$base" \
                        >"$base.log" 2>&1; then
                failed "$1 does not compile" "$base.log"
                return
        fi
        [ -e "$base.output" ] || [ -e "$base.says" ] || return
        [[ ! -e $base.faults || $flags != *-fsanitize=* ]] || return
        [ ! -e "$base.status" ] || expected=$(cat "$base.status")
        timeout 20 "$base" >"$base.actual" 2>"$base.err"
        status=$?
        if [ $status -ne "$expected" ]; then
                failed "$1 ends with status $status" "$base.err"
        elif [ -e "$base.output" ] && ! diff "$base.actual" "$base.output" >"$base.log"; then
                failed "$1 prints something else" "$base.log"
        elif [ -e "$base.says" ] && ! says "$base.says" "$base.err" >"$base.log"; then
                cat "$base.err" >>"$base.log"
                failed "$1 says something else" "$base.log"
        fi
}

for page in "$source"/docs/guide/*.md; do
        name=$(basename "$page" .md)
        mkdir "$dir/$name"
        extract "$name" <"$page"
        for program in "$dir/$name"/*.c; do
                [ -e "$program" ] || continue
                programs=$((programs + 1))
                try "$name, program $(basename "$program" .c)" "$program"
        done
done

# What the README shows is what the examples are.
for example in 1_hello 3_echo; do
        awk -v want="$example" '
                $0 == "```c " want { on = 1; next }
                /^```/ { on = 0 }
                on
        ' "$source/README.md" >"$dir/shown"
        diff "$dir/shown" "$source/examples/$example.c" >"$dir/diff" ||
                failed "README.md shows another examples/$example.c" "$dir/diff"
done

# Links between the pages lead somewhere.
for page in "$source"/README.md "$source"/docs/guide/*.md; do
        while read -r link; do
                [ -e "$(dirname "$page")/$link" ] || failed "$page: no $link"
        done < <(grep -oE '\]\([^)#:]+' "$page" | cut -c3-)
done

echo "$programs programs, $failures failures"
[ "$failures" -eq 0 ] && [ "$programs" -gt 0 ]
