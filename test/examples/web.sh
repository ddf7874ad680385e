#!/bin/bash
# The web server speaks HTTP/1.1 as it says, and shows nothing from outside its directory.
#
#       web.sh PROGRAM [WITH...]        WITH: a command that starts the program
# shellcheck source=server.sh
. "$(dirname "$0")/server.sh"

program=$1
shift

# ---- what is served, and what must not be ----

www=$dir/www
mkdir -p "$www/sub/deep" "$www/bare" "$dir/www-other"
echo '<h1>home</h1>' >"$www/index.html"
echo 'in sub' >"$www/sub/index.html"
echo '0123456789' >"$www/ten.txt"
echo 'with space' >"$www/a b.txt"
echo 'accents' >"$www/été.txt"
: >"$www/empty.bin"
head -c 20000000 /dev/urandom >"$www/big.bin"
truncate -s 5G "$www/huge.bin"
printf 'tail!' >>"$www/huge.bin"
echo 'secret' | tee "$dir/secret" >"$dir/www-other/secret"
ln -s ../secret "$www/leak.txt"
ln -s .. "$www/leak"
ln -s "$dir/secret" "$www/absolute-leak.txt"
ln -s ten.txt "$www/link.txt"
mkfifo "$www/pipe"

start "$@" "$program" -t 1 -m 127.0.0.1:0 "$www" 127.0.0.1:0
read -r -t 20 line <&9
metrics_port=${line##*:}

# ---- how to ask ----

# Sends the bytes that printf makes of $1 and prints what comes until the server hangs up.
raw() {
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        printf '%b' "$1" >&3
        timeout 20 cat <&3 | tr -d '\r\0'
        exec 3>&-
}

request() { # METHOD PATH [HEADER\r\n...]
        printf '%s' "$1 $2 HTTP/1.1\\r\\nHost: test\\r\\nConnection: close\\r\\n${3-}\\r\\n"
}

# The answer to a request begins with the status, and each further pattern is found in it.
answers() { # STATUS REQUEST [PATTERN...]
        local status=$1 answer

        answer=$(raw "$2")
        shift 2
        echo "$answer"
        head -1 <<<"$answer" | grep -q "^HTTP/1.1 $status " || return 1
        for pattern; do
                grep -qE -- "$pattern" <<<"$answer" || { echo "MISSING: $pattern"; return 1; }
        done
        ! grep -q '^secret' <<<"$answer"
}

get() { # NAME STATUS PATH HEADERS [PATTERN...]
        local name=$1 status=$2 path=$3 headers=$4

        shift 4
        check "GET $name: $status" answers "$status" "$(request GET "$path" "$headers")" "$@"
}

sends() { # NAME STATUS REQUEST [PATTERN...]
        local name=$1

        shift
        check "$name: $1" answers "$@"
}

body() { sed '1,/^$/d'; }

# How many answers of a status does one connection get?
counts() { # NUMBER STATUS REQUESTS
        local n

        n=$(raw "$3" | grep -ac "^HTTP/1.1 $2 ")
        echo "$n answers"
        [ "$n" -eq "$1" ]
}

# ---- files ----

get "the index" 200 / "" '^Content-Type: text/html; charset=utf-8$' '^Content-Length: 14$' \
        '^<h1>home</h1>$' '^Connection: close$' '^Date: .* GMT$' '^Last-Modified: .* GMT$'
get "a text" 200 /ten.txt "" '^Content-Type: text/plain; charset=utf-8$' '^0123456789$'
get "an unknown type" 200 /empty.bin "" '^Content-Type: application/octet-stream$' \
        '^Content-Length: 0$'
get "a query" 200 "/ten.txt?x=/../y" "" '^0123456789$'
get "an encoded name" 200 "/a%20b.txt" "" '^with space$'
get "an encoded UTF-8 name" 200 "/%C3%a9t%c3%A9.txt" "" '^accents$'
get "an absolute URL" 200 "http://test/ten.txt" "" '^0123456789$'
get "a host alone" 200 "http://test" "" '^<h1>home</h1>$'
get "more slashes" 200 "//sub///" "" '^in sub$'
get "a directory" 301 /sub "" '^Location: /sub/$'
get "a directory, as another host" 301 //sub "" '^Location: /sub/$'
get "a directory's index" 200 /sub/ "" '^in sub$'
if [ $# -eq 0 ]; then           # without openat2 the server follows no link at all
        get "a link inside" 200 /link.txt "" '^0123456789$'
else
        get "a link inside" 404 /link.txt ""
fi
get "nothing" 404 /nothing ""
get "a directory without index" 404 /bare/ ""
get "a file as a directory" 404 /ten.txt/ ""
get "a pipe" 404 /pipe ""
get "a name too long" 414 "/$(printf 'a%.0s' {1..300})" ""
get "a path too long" 414 "/$(printf 'a/%.0s' {1..3000})" ""

# ---- only those beneath DIR ----

for path in /../secret /sub/../../secret /%2e%2e/secret /.%2E/secret /..%2fsecret /sub/..%2F..%2Fsecret \
            //../secret /.. /sub/.. /%2e%2e /../www-other/secret /sub/deep/../../../secret; do
        get "$path" 400 "$path" ""
done
get "a NUL" 400 "/ten.txt%00" ""
get "half an escape" 400 "/ten.txt%4" ""
get "a wrong escape" 400 "/ten.txt%zz" ""
get "a link to a file outside" 404 /leak.txt ""
get "a link to a directory outside" 404 /leak/secret ""
get "an absolute link" 404 /absolute-leak.txt ""
get "three dots" 404 /.../secret ""
get "an absolute path" 404 "/$dir/secret" ""

# ---- methods, versions, bodies ----

sends "HEAD" 200 "$(request HEAD /ten.txt)" '^Content-Length: 11$'
check "HEAD has no body" test -z "$(raw "$(request HEAD /ten.txt)" | body)"
check "HEAD of an error has no body" test -z "$(raw "$(request HEAD /nothing)" | body)"
sends "HEAD takes no range" 200 "$(request HEAD /ten.txt 'Range: bytes=0-1\r\n')"
for method in POST PUT DELETE OPTIONS TRACE PATCH PROPFIND; do
        sends "$method" 405 "$(request $method /ten.txt)" '^Allow: GET, HEAD$'
done
sends "OPTIONS *" 405 "$(request OPTIONS '*')"
sends "CONNECT" 405 "$(request CONNECT 'test:80')"
sends "GET *" 404 "$(request GET '*')"
sends "POST with a body" 405 "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
sends "GET with a body" 413 "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello" \
        '^Connection: close$'
sends "GET with chunks" 413 "GET / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
sends "GET with an empty body" 200 "$(request GET / 'Content-Length: 0\r\n')"
sends "nonsense" 400 "nonsense\r\n\r\n" '^Connection: close$'
sends "no host" 400 "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
sends "two hosts" 400 "$(request GET / 'Host: b\r\n')"
sends "a wrong length" 400 "$(request GET / 'Content-Length: five\r\n')"
sends "two lengths" 400 "$(request GET / 'Content-Length: 1\r\nContent-Length: 2\r\n')"
sends "a space before the colon" 400 "$(request GET / 'X : 1\r\n')"
sends "a length that is none" 400 "$(request GET / 'Content-Length : 1\r\n')"
sends "HTTP/2.0" 505 "GET / HTTP/2.0\r\nHost: t\r\n\r\n"
sends "HTTP/0.9" 505 "GET /\r\n\r\n"
sends "empty lines first" 200 "\r\n\r\n$(request GET /)"
sends "an empty header" 206 "$(request GET /ten.txt 'X-Empty:\r\nRange: bytes=0-1\r\n')"
sends "a folded header" 206 "$(request GET /ten.txt 'X: a\r\n b\r\nRange:\r\n bytes=0-1\r\n')"

# A header block of exactly 16 KiB, and of one byte more.
fill=$(printf 'x%.0s' {1..16000})
plain=$(printf '%b' "$(request GET / 'X: \r\n')" | wc -c)
pad=$(printf 'y%.0s' $(seq $((16384 - plain - 16000))))
sends "16 KiB of header" 200 "$(request GET / "X: $fill$pad\\r\\n")"
sends "16 KiB of header and a byte" 431 "$(request GET / "X: z$fill$pad\\r\\n")" '^Connection: close$'
sends "a long request line" 431 "GET /$fill$fill HTTP/1.1\r\n"

# ---- connections ----

keep="GET /ten.txt HTTP/1.1\r\nHost: t\r\n\r\n"
last=$(request GET /ten.txt)
check "a connection is kept" counts 3 200 "$keep$keep$last"
check "an error keeps it" counts 1 200 "GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n$last"
check "close ends it" counts 1 200 "$last$keep$keep"
check "a refused request ends it" counts 0 200 "GET / HTTP/1.1\r\n\r\n$keep"
check "a body is not taken for a request" counts 0 200 \
        "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\n$keep"
check "HTTP/1.0 ends it" counts 1 200 "GET / HTTP/1.0\r\n\r\n$keep"
check "HTTP/1.0 may keep it" counts 2 200 "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n$last"
sends "HTTP/1.0 is told so" 200 "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n$last" \
        '^Connection: keep-alive$'
printf -v many "${keep//\\/\\\\}%.0s" {1..500}
check "500 requests at once" counts 501 200 "$many$last"
sends "half a request" 408 "GET / HTTP/1.1\r\nHo" '^Connection: close$'

byte_by_byte() {
        local text

        printf -v text '%b.' "$keep$last"
        exec 3<>"/dev/tcp/127.0.0.1/$port"
        for ((i = 0; i < ${#text} - 1; i++)); do
                printf %s "${text:i:1}" >&3
        done
        [ "$(timeout 10 cat <&3 | grep -c '^HTTP/1.1 200')" -eq 2 ]
}
check "byte by byte" byte_by_byte

# ---- parts of files ----

range() { # STATUS CONTENT-RANGE BODY RANGE [HEADERS]
        local answer

        answer=$(raw "$(request GET /ten.txt "Range: $4\\r\\n${5-}")")
        echo "$answer"
        grep -q "^HTTP/1.1 $1 " <<<"$answer" || return 1
        [ "$(sed -n 's/^Content-Range: //p' <<<"$answer")" = "$2" ] || return 1
        [ "$(body <<<"$answer")" = "$3" ]
}
check "the first byte" range 206 "bytes 0-0/11" 0 "bytes=0-0"
check "some bytes" range 206 "bytes 3-6/11" 3456 "bytes=3-6"
check "the unit in capitals" range 206 "bytes 3-6/11" 3456 "Bytes=3-6"
check "from a byte on" range 206 "bytes 7-10/11" 789 "bytes=7-"
check "the last bytes" range 206 "bytes 8-10/11" 89 "bytes=-3"
check "more than there are" range 206 "bytes 5-10/11" 56789 "bytes=5-99999999999999999999"
check "more last bytes than there are" range 206 "bytes 0-10/11" 0123456789 "bytes=-500"
check "behind the end" range 416 "bytes */11" "" "bytes=11-"
check "far behind the end" range 416 "bytes */11" "" "bytes=99999999999999999999999-"
check "no bytes" range 416 "bytes */11" "" "bytes=-0"
for wrong in "bytes=5-2" "bytes=a-b" "bytes=1" "bytes=-" "bytes=" "lines=0-1" "bytes=0-1x" "bytes=+0-1" \
             "bytes=0-0,2-3" "bytes=0-0, -1" "bytes=$(printf '0%.0s' {1..80})1-2"; do
        check "the range \"$wrong\"" range 200 "" 0123456789 "$wrong"
done
check "an If-Range" range 200 "" 0123456789 "bytes=0-0" 'If-Range: "x"\r\n'
get "a range of nothing" 200 /empty.bin 'Range: bytes=0-\r\n' '^Content-Length: 0$'

date=$(raw "$(request HEAD /ten.txt)" | sed -n 's/^Last-Modified: //p')
check "the date" test "$(date -d "$date" +%s)" = "$(stat -c %Y "$www/ten.txt")"
get "not modified" 304 /ten.txt "If-Modified-Since: $date\\r\\n"
check "304 has no body" test -z \
        "$(raw "$(request GET /ten.txt "If-Modified-Since: $date\\r\\n")" | body)"
get "not modified, with a range" 304 /ten.txt "If-Modified-Since: $date\\r\\nRange: bytes=0-1\\r\\n"
get "modified" 200 /ten.txt "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT\\r\\n"
get "modified since nonsense" 200 /ten.txt "If-Modified-Since: yesterday\\r\\n"

# ---- a client of another make ----

url=http://127.0.0.1:$port
fetch() { curl -sS --max-time 30 "$@"; }

check "twenty megabytes" cmp <(fetch "$url/big.bin") "$www/big.bin"
check "the middle of them" cmp <(fetch -r 1000000-9999999 "$url/big.bin") \
        <(tail -c +1000001 "$www/big.bin" | head -c 9000000)
check "the end of five gigabytes" test "$(fetch -r -5 "$url/huge.bin")" = 'tail!'
check "the length of five gigabytes" grep -q "^Content-Length: $((5 * 1024 * 1024 * 1024 + 5))" \
        <(fetch -I "$url/huge.bin")
check "curl keeps the connection" test "$(fetch -w '%{num_connects}' -o /dev/null "$url/ten.txt" \
        -o /dev/null "$url/big.bin" -o /dev/null "$url/nothing")" = 100

many() {
        local pids=()

        for _ in {1..20}; do
                { fetch "$url/big.bin" | cmp - "$www/big.bin"; } &
                pids+=($!)
        done
        for pid in "${pids[@]}"; do
                wait "$pid" || return 1
        done
}
check "twenty at once" many
port=$metrics_port
get "the metrics" 200 / "" '^Content-Type: text/plain; version=0.0.4$' '^# HELP weir_' '^weir_'

refuse() { # STATUS ARGS...
        local expected=$1

        shift
        timeout 10 "$program" "$@"
        [ $? -eq "$expected" ]
}
check "no directory" refuse 1 "$dir/nothing" 127.0.0.1:0
check "no argument" refuse 2
check "a wrong option" refuse 2 -x "$www"
check "a wrong time" refuse 2 -t never "$www"
check "an address in use" refuse 1 "$www" "127.0.0.1:$metrics_port"
finish
