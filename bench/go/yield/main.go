// The twin of bench/yield.c, which says what is measured and why the pair is equal.
package main

import (
	"runtime"
	"sync"

	"weir/bench/harness"
)

func turn(wg *sync.WaitGroup, n int) {
	for i := 0; i < n; i++ {
		runtime.Gosched()
	}
	wg.Done()
}

func yield(b *harness.B, k int) {
	var wg sync.WaitGroup

	wg.Add(k)
	for i := 0; i < k; i++ {
		go turn(&wg, harness.Share(b.N, i, k))
	}
	wg.Wait()
}

func main() {
	harness.Main(
		harness.Bench{Name: "yield_2", Fn: func(b *harness.B) { yield(b, 2) }},
		harness.Bench{Name: "yield_1000", Fn: func(b *harness.B) { yield(b, 1000) }},
	)
}
