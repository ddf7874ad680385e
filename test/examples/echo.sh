#!/bin/bash
# The echo server gives back what it gets, to several clients at once, or says why it does not listen.
#
#       echo.sh PROGRAM
# shellcheck source=server.sh
. "$(dirname "$0")/server.sh"

start "$1" 127.0.0.1:0
head -c 3000000 /dev/urandom >"$dir/data"

echo_whole() {
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        cat "$dir/data" >&3 &
        head -c 3000000 <&3 | cmp - "$dir/data"
}

echo_lines() {
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        for i in {1..200}; do
                echo "line $i" >&3
                read -r -t 10 line <&3 && [ "$line" = "line $i" ] || return 1
        done
}

echo_together() {
        local pids=()

        for _ in {1..8}; do
                (echo_whole && echo_lines) &
                pids+=($!)
        done
        for pid in "${pids[@]}"; do
                wait "$pid" || return 1
        done
}

refuse() { # ADDRESS
        timeout 10 "$program" "$1"
        [ $? -eq 1 ]
}

program=$1
check "line by line" echo_lines
check "three megabytes" echo_whole
check "eight clients at once" echo_together
check "an address in use" refuse "127.0.0.1:$port"
check "no address at all" refuse "somewhere"
finish
