// The twin of bench/bytes.c, which says what is measured and why the pair is equal.
package main

import (
	"bytes"
	"unicode/utf8"

	"weir/bench/harness"
)

const (
	k = 1024
	m = 1024 * 1024
)

var (
	text, same []byte
	sink       int
	sinkBool   bool
	sinkBytes  []byte
)

func prepare(b *harness.B, n int) ([]byte, []byte) {
	if text == nil {
		text = make([]byte, m+64)
		same = make([]byte, m+64)
	}
	for i := 0; i < n; i++ {
		text[i] = byte('a' + i*7%25)
		same[i] = text[i]
	}
	b.ResetTimer()
	return text[:n], same[:n]
}

var needle = []byte("hovcjqz")

func all(name string, one func(s, t []byte)) []harness.Bench {
	var out []harness.Bench
	for _, size := range []struct {
		name string
		n    int
	}{{"_16", 16}, {"_1K", k}, {"_1M", m}} {
		n := size.n
		out = append(out, harness.Bench{Name: name + size.name, Fn: func(b *harness.B) {
			s, t := prepare(b, n)
			for i := 0; i < b.N; i++ {
				one(s, t)
			}
		}})
	}
	return out
}

func worst(name string) []harness.Bench {
	return []harness.Bench{{Name: name, Fn: func(b *harness.B) {
		s := bytes.Repeat([]byte("a"), 4096)
		x := []byte("aaaaaaaaaaaaaaaaaaab")
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			sink = bytes.Index(s, x)
		}
	}}}
}

// lower does what weir_bytes_lower does: into memory that is there.
func lower(t, s []byte) {
	for i, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		t[i] = c
	}
}

// reverse is what slices.Reverse of later versions is.
func reverse(s []byte) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

func main() {
	index := func(s, t []byte) { sink = bytes.IndexByte(s, 'Z') }
	last := func(s, t []byte) { sink = bytes.LastIndexByte(s, 'Z') }
	equal := func(s, t []byte) { sinkBool = bytes.Equal(s, t) }
	compare := func(s, t []byte) { sink = bytes.Compare(s, t) }
	find := func(s, t []byte) { sink = bytes.Index(s, needle) }
	c := []byte("c")

	var list []harness.Bench
	add := func(some []harness.Bench) { list = append(list, some...) }
	add(all("index", index))
	add(all("last_index", last))
	add(all("count", func(s, t []byte) { sink = bytes.Count(s, c) }))
	add(all("equal", equal))
	add(all("compare", compare))
	add(all("find", find))
	add(all("index_any", func(s, t []byte) { sink = bytes.IndexAny(s, "ZXYWV!") }))
	add(all("equal_fold", func(s, t []byte) { sinkBool = bytes.EqualFold(s, t) }))
	add(all("lower", func(s, t []byte) { lower(t, s) }))
	add(all("reverse", func(s, t []byte) { reverse(s) }))
	add(all("utf8_valid", func(s, t []byte) { sinkBool = utf8.Valid(s) }))
	add(worst("find_worst_4K"))
	add(all("libc_index", index))
	add(all("libc_last_index", last))
	add(all("libc_equal", equal))
	add(all("libc_compare", compare))
	add(all("libc_find", find))
	add(worst("libc_find_worst_4K"))
	harness.Main(list...)
}
