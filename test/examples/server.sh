# shellcheck shell=bash disable=SC2034  # port is for those who include this
# For the tests of servers: starts one, finds its address, ends it, looks at what it said.
#
#       start PROGRAM ARGS...   sets port; $dir is a folder for the test, $said has its stderr
#       check NAME COMMAND...   counts COMMAND's failure; the test goes on
#       finish                  last: its status is the test's
set -uo pipefail

dir=$(mktemp -d)
failures=0
checks=0
server=

clean_up() {
        [ -z "$server" ] || kill "$server" 2>/dev/null
        rm -rf "$dir"
}
trap clean_up EXIT

start() {
        mkfifo "$dir/out"
        said=$dir/said
        "$@" >"$dir/out" 2>"$said" &
        server=$!
        exec 9<"$dir/out"
        if ! read -r -t 20 line <&9; then
                wait "$server"
                [ $? -ne 77 ] || exit 77
                echo "$1 did not say where it listens"
                cat "$said"
                exit 1
        fi
        port=${line##*:}
}

check() {
        local name=$1

        shift
        checks=$((checks + 1))
        if ! "$@" >"$dir/check" 2>&1; then
                failures=$((failures + 1))
                echo "FAILED: $name"
                head -c 2000 "$dir/check"
        fi
}

finish() {
        check "the server still runs" kill -0 "$server"
        kill "$server"
        wait "$server" 2>/dev/null
        server=
        check "the server has nothing to complain about" cmp "$said" /dev/null
        echo "$checks checks, $failures failed"
        [ "$failures" -eq 0 ]
}
