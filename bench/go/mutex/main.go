// The twin of bench/mutex.c, which says what is measured and why the pair is equal.
package main

import (
	"sync"

	"weir/bench/harness"
)

type counter struct {
	mutex sync.Mutex
	count int
}

func add(c *counter, n int) {
	for i := 0; i < n; i++ {
		c.mutex.Lock()
		c.count++
		c.mutex.Unlock()
	}
}

func mutex(b *harness.B, k int) {
	var wg sync.WaitGroup
	c := new(counter)

	wg.Add(k)
	for i := 0; i < k; i++ {
		go func(n int) {
			add(c, n)
			wg.Done()
		}(harness.Share(b.N, i, k))
	}
	wg.Wait()
	if c.count != b.N {
		b.Failf("counted %d of %d", c.count, b.N)
	}
}

func main() {
	harness.Main(
		harness.Bench{Name: "mutex_uncontended", Fn: func(b *harness.B) { mutex(b, 1) }},
		harness.Bench{Name: "mutex_8way", Fn: func(b *harness.B) { mutex(b, 8) }},
	)
}
