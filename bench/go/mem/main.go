// The twin of bench/mem.c, which says what is measured and why the pair is equal.
package main

import (
	"runtime"
	"sync"

	"weir/bench/harness"
)

type noscan16 struct{ a, b uint64 }
type noscan64 struct{ a [8]uint64 }
type plain64 struct {
	a uint64
	p *plain64
	b [6]uint64
}

// Each goroutine keeps what it allocated last, on a cache line of its own.
type sinks struct {
	p16 *noscan16
	p64 *noscan64
	pP  *plain64
	_   [104]byte
}

var kept [256]sinks

// share has as many goroutines as there are processors do parts of b.N.
func share(b *harness.B, fn func(s *sinks, n int)) {
	procs := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup

	for i := 1; i < procs; i++ {
		wg.Add(1)
		go func(i int) {
			fn(&kept[i], b.N*(i+1)/procs-b.N*i/procs)
			wg.Done()
		}(i)
	}
	fn(&kept[0], b.N/procs)
	wg.Wait()
}

func noscan16Bench(b *harness.B) {
	share(b, func(s *sinks, n int) {
		for i := 0; i < n; i++ {
			p := new(noscan16)
			p.a = uint64(i)
			s.p16 = p
		}
	})
}

func noscan64Bench(b *harness.B) {
	share(b, func(s *sinks, n int) {
		for i := 0; i < n; i++ {
			p := new(noscan64)
			p.a[0] = uint64(i)
			s.p64 = p
		}
	})
}

func plain64Bench(b *harness.B) {
	share(b, func(s *sinks, n int) {
		for i := 0; i < n; i++ {
			p := new(plain64)
			p.a = uint64(i)
			s.pP = p
		}
	})
}

func main() {
	harness.Main(
		harness.Bench{Name: "noscan_16", Fn: noscan16Bench},
		harness.Bench{Name: "noscan_64", Fn: noscan64Bench},
		harness.Bench{Name: "plain_64", Fn: plain64Bench},
	)
}
