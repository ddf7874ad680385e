// The twin of bench/spawn.c, which says what is measured and why the pair is equal.
package main

import (
	"sync"

	"weir/bench/harness"
)

const (
	batch  = 100
	parked = 100000
)

func leave(wg *sync.WaitGroup) {
	wg.Done()
}

func spawnExit(b *harness.B) {
	var wg sync.WaitGroup

	for left := b.N; left > 0; {
		k := batch
		if left < k {
			k = left
		}
		for i := 0; i < k; i++ {
			wg.Add(1)
			go leave(&wg)
		}
		wg.Wait()
		left -= k
	}
}

func spawnWait(b *harness.B) {
	var wg sync.WaitGroup

	for i := 0; i < b.N; i++ {
		wg.Add(1)
		go leave(&wg)
		wg.Wait()
	}
}

func stay(started, ended *sync.WaitGroup, gate chan struct{}) {
	started.Done()
	<-gate
	ended.Done()
}

func spawnParked(b *harness.B) {
	b.Per = parked
	for i := 0; i < b.N; i++ {
		var started, ended sync.WaitGroup
		gate := make(chan struct{})

		started.Add(parked)
		ended.Add(parked)
		for k := 0; k < parked; k++ {
			go stay(&started, &ended, gate)
		}
		started.Wait()
		close(gate)
		ended.Wait()
	}
}

func main() {
	harness.Main(
		harness.Bench{Name: "spawn_exit", Fn: spawnExit},
		harness.Bench{Name: "spawn_wait", Fn: spawnWait},
		harness.Bench{Name: "spawn_parked_100k", Fn: spawnParked},
	)
}
