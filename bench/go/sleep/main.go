// The twin of bench/sleep.c, which says what is measured and why the pair is equal.
package main

import (
	"sync"
	"time"

	"weir/bench/harness"
)

const (
	sleepers = 100000
	within   = int64(time.Second)
	seed     = 1
)

func next(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func nap(wg *sync.WaitGroup, d int64, late *int64) {
	due := harness.Now() + d

	time.Sleep(time.Duration(d))
	*late = harness.Now() - due
	wg.Done()
}

func sleep(b *harness.B) {
	var beyond, p50, p99 float64
	naps := make([]int64, sleepers)
	late := make([]int64, sleepers)
	state := uint64(seed)
	ideal := int64(0)

	for i := range naps {
		naps[i] = int64(next(&state) % uint64(within))
		if naps[i] > ideal {
			ideal = naps[i]
		}
	}

	b.Per = sleepers
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		var wg sync.WaitGroup

		b.StartTimer()
		start := harness.Now()
		wg.Add(sleepers)
		for k := range naps {
			go nap(&wg, naps[k], &late[k])
		}
		wg.Wait()
		beyond += float64(harness.Now() - start - ideal)
		b.StopTimer()

		for _, v := range late {
			if v < 0 {
				b.Failf("a sleep ended %d ns early", -v)
			}
		}
		p50 += float64(harness.Percentile(late, 0.50))
		p99 += float64(harness.Percentile(late, 0.99))
	}
	b.Metric(beyond/float64(b.N)/sleepers, "ns/op")
	b.Metric(beyond/float64(b.N), "beyond-ns")
	b.Metric(p50/float64(b.N), "late-p50-ns")
	b.Metric(p99/float64(b.N), "late-p99-ns")
}

func main() {
	harness.Main(harness.Bench{Name: "sleep_100k", Fn: sleep})
}
