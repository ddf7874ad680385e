# shellcheck shell=bash
# What tests written in bash share. A file of tests consists of functions test_NAME, each of which
# CTest runs in a process of its own: bash FILE ARGUMENT NAME.

# Runs every test of the calling file in turn, without CTest, and exits.
run_all() { # ARGUMENT
        local failed=0 passed=0 name

        while read -r name; do
                if bash "$0" "$1" "$name"; then
                        passed=$((passed + 1))
                else
                        echo "FAILED: $name"
                        failed=$((failed + 1))
                fi
        done < <(sed -n 's/^test_\([a-z0-9_]*\)().*/\1/p' "$0")
        echo "$passed passed, $failed failed"
        exit $((failed > 0))
}

# Makes a folder for the test, which goes when the test ends, and enters a folder in it whose name
# has a space.
enter_scratch() {
        scratch=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 1
        trap 'rm -rf "$scratch"' EXIT
        mkdir "$scratch/work dir"
        cd "$scratch/work dir" || exit 1
        err=
}

fail() {
        echo "line ${BASH_LINENO[1]}: $*"
        exit 1
}

skip() {
        echo "skipped: $*"
        exit 77
}

# Runs a command; keeps its output, error output and status in $out, $err and $status.
try() {
        "$@" >"$scratch/out" 2>"$scratch/err"
        status=$?
        out=$(cat "$scratch/out")
        err=$(cat "$scratch/err")
}

same() { # WHAT ACTUAL EXPECTED
        [ "$2" = "$3" ] || fail "$1 is \"$2\", expected \"$3\"${err:+; stderr: $err}"
}

prints() { # TEXT COMMAND...
        local expected=$1
        shift
        try "$@"
        same "the status of $*" "$status" 0
        same "the output of $*" "$out" "$expected"
}

contains() { # WHAT TEXT PART
        case $2 in
        *"$3"*) ;;
        *) fail "$1 does not say \"$3\": $2" ;;
        esac
}
