// The twin of bench/map.c, which says what is measured and why the pair is equal.
package main

import (
	"fmt"
	"time"

	"weir/bench/harness"
)

const (
	kk = 1000
	mm = 1000000
	nn = 10000000
)

var (
	sink    uint64
	sinkInt int32
	held    map[uint64]uint64
	strHeld map[string]uint64
	texts   []string
)

func keyOf(i uint64) uint64 {
	i *= 0x9e3779b97f4a7c15
	return i ^ i>>32
}

func makeTexts(n int) {
	for i := len(texts); i < n; i++ {
		texts = append(texts, fmt.Sprintf("%s%d", "abcdefgh"[:i%8], keyOf(uint64(i))>>(i%3*8)))
	}
}

func made(n int) map[uint64]uint64 {
	m := map[uint64]uint64{}
	for i := uint64(0); i < uint64(n); i++ {
		m[keyOf(i)] = i
	}
	return m
}

func strMade(n int) map[string]uint64 {
	makeTexts(2 * n)
	m := map[string]uint64{}
	for i := 0; i < n; i++ {
		m[texts[i]] = uint64(i)
	}
	return m
}

func insert(b *harness.B, n int) {
	b.Per = n
	for i := 0; i < b.N; i++ {
		sink += uint64(len(made(n)))
	}
}

func strInsert(b *harness.B, n int) {
	makeTexts(2 * n)
	b.ResetTimer()
	b.Per = n
	for i := 0; i < b.N; i++ {
		sink += uint64(len(strMade(n)))
	}
}

func hold(b *harness.B, n int) map[uint64]uint64 {
	if held == nil {
		held = made(n)
	}
	b.ResetTimer()
	return held
}

func least(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func hit(b *harness.B, n int) {
	m := hold(b, n)
	sum := uint64(0)
	for left := b.N; left > 0; left -= n {
		for k := uint64(0); k < uint64(least(left, n)); k++ {
			sum += m[keyOf(k)]
		}
	}
	sink = sum
}

func miss(b *harness.B, n int) {
	m := hold(b, n)
	sum := uint64(0)
	for left := b.N; left > 0; left -= n {
		for k := uint64(0); k < uint64(least(left, n)); k++ {
			if _, ok := m[keyOf(k+uint64(n))]; ok {
				sum++
			}
		}
	}
	sink = sum
}

func strLook(b *harness.B, n, from int) {
	if strHeld == nil {
		strHeld = strMade(n)
	}
	m := strHeld
	b.ResetTimer()
	sum := uint64(0)
	for left := b.N; left > 0; left -= n {
		for k := 0; k < least(left, n); k++ {
			sum += m[texts[from+k]]
		}
	}
	sink = sum
}

// Starting and stopping the clock takes as long as some hundred deletions: small maps come four at a time.
func del(b *harness.B, n int) {
	b.StopTimer()
	b.Per = n
	atOnce := 4
	if n > kk {
		atOnce = 1
	}
	for left := b.N; left > 0; left -= atOnce {
		maps := make([]map[uint64]uint64, least(left, atOnce))
		for j := range maps {
			maps[j] = made(n)
		}
		b.StartTimer()
		for _, m := range maps {
			for k := uint64(0); k < uint64(n); k++ {
				delete(m, keyOf(k))
			}
		}
		b.StopTimer()
	}
}

func iterate(b *harness.B, n int) {
	m := hold(b, n)
	b.Per = n
	sum := uint64(0)
	for i := 0; i < b.N; i++ {
		for k, v := range m {
			sum += k + v
		}
	}
	sink = sum
}

func appendInts(b *harness.B) {
	b.Per = nn
	for i := 0; i < b.N; i++ {
		var s []int32
		for k := 0; k < nn; k++ {
			s = append(s, int32(k))
		}
		sinkInt = s[len(s)/2]
	}
}

func longest(b *harness.B) {
	longest := time.Duration(0)
	m := map[uint64]uint64{}
	before := time.Now()
	for i := uint64(0); i < nn; i++ {
		m[keyOf(i)] = i
		after := time.Now()
		if d := after.Sub(before); d > longest {
			longest = d
		}
		before = after
	}
	b.Metric(float64(longest), "ns/op")
}

func main() {
	var list []harness.Bench
	three := func(name string, fn func(b *harness.B, n int)) {
		for _, size := range []struct {
			name string
			n    int
		}{{"_1K", kk}, {"_1M", mm}, {"_10M", nn}} {
			n := size.n
			list = append(list, harness.Bench{Name: name + size.name, Fn: func(b *harness.B) { fn(b, n) }})
		}
	}
	strHit := func(b *harness.B, n int) { strLook(b, n, 0) }
	strMiss := func(b *harness.B, n int) { strLook(b, n, n) }
	three("typed_insert", insert)
	three("u64_insert", insert)
	three("str_insert", strInsert)
	three("typed_hit", hit)
	three("typed_miss", miss)
	three("u64_hit", hit)
	three("u64_miss", miss)
	three("str_hit", strHit)
	three("str_miss", strMiss)
	three("typed_delete", del)
	three("u64_delete", del)
	three("typed_iterate", iterate)
	list = append(list,
		harness.Bench{Name: "batch_10M", Fn: func(b *harness.B) { hit(b, nn) }},
		harness.Bench{Name: "append", Fn: appendInts},
		harness.Bench{Name: "longest_10M", Fn: longest})
	harness.Main(list...)
}
