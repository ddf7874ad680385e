// The twin of bench/sync.c, which says what is measured and why the pair is equal.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/harness"
)

type guarded struct {
	m     sync.RWMutex
	count int
}

func use(wg *sync.WaitGroup, s *guarded, n, writeEvery int) {
	sum, left := 0, writeEvery
	for i := 0; i < n; i++ {
		if writeEvery != 0 {
			left--
			if left == 0 {
				left = writeEvery
				s.m.Lock()
				s.count++
				s.m.Unlock()
				continue
			}
		}
		s.m.RLock()
		sum += s.count
		s.m.RUnlock()
	}
	if sum < 0 {
		panic("sum")
	}
	wg.Done()
}

func rwmutex(b *harness.B, writeEvery int) {
	var wg sync.WaitGroup
	s := new(guarded)

	wg.Add(8)
	for i := 0; i < 8; i++ {
		go use(&wg, s, harness.Share(b.N, i, 8), writeEvery)
	}
	wg.Wait()
}

type plain struct {
	m     sync.Mutex
	count int
}

func mutexForAll(b *harness.B) {
	var wg sync.WaitGroup
	s := new(plain)

	wg.Add(8)
	for i := 0; i < 8; i++ {
		go func(n int) {
			sum := 0
			for i := 0; i < n; i++ {
				s.m.Lock()
				sum += s.count
				s.m.Unlock()
			}
			if sum < 0 {
				panic("sum")
			}
			wg.Done()
		}(harness.Share(b.N, i, 8))
	}
	wg.Wait()
}

func writer(b *harness.B) {
	var wg sync.WaitGroup
	var stop atomic.Bool
	var worst time.Duration
	s := new(guarded)

	wg.Add(8)
	for i := 0; i < 8; i++ {
		go func() {
			sum := 0
			for !stop.Load() {
				s.m.RLock()
				sum += s.count
				s.m.RUnlock()
			}
			if sum < 0 {
				panic("sum")
			}
			wg.Done()
		}()
	}
	runtime.Gosched()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		start := time.Now()
		s.m.Lock()
		s.count++
		s.m.Unlock()
		if d := time.Since(start); d > worst {
			worst = d
		}
	}
	b.StopTimer()
	b.Metric(float64(worst), "worst-ns")
	stop.Store(true)
	wg.Wait()
}

func onceDone(b *harness.B) {
	var once sync.Once

	for i := 0; i < b.N; i++ {
		once.Do(func() {})
	}
}

func sema(b *harness.B) {
	s := make(chan struct{}, 1)

	for i := 0; i < b.N; i++ {
		s <- struct{}{}
		<-s
	}
}

type table struct {
	m          sync.Mutex
	ping, pong *sync.Cond
	turn       int
}

func condPingPong(b *harness.B) {
	var wg sync.WaitGroup
	t := new(table)
	t.ping, t.pong = sync.NewCond(&t.m), sync.NewCond(&t.m)

	wg.Add(1)
	go func() {
		t.m.Lock()
		for i := 0; i < b.N; i++ {
			for t.turn == 0 {
				t.ping.Wait()
			}
			t.turn = 0
			t.pong.Signal()
		}
		t.m.Unlock()
		wg.Done()
	}()
	t.m.Lock()
	for i := 0; i < b.N; i++ {
		t.turn = 1
		t.ping.Signal()
		for t.turn != 0 {
			t.pong.Wait()
		}
	}
	t.m.Unlock()
	wg.Wait()
}

type buffer struct {
	used  uint64
	bytes [504]byte
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func poolGetPut(b *harness.B) {
	for i := 0; i < b.N; i++ {
		x := buffers.Get().(*buffer)
		x.used++
		buffers.Put(x)
	}
}

func pool8way(b *harness.B) {
	var wg sync.WaitGroup

	wg.Add(8)
	for i := 0; i < 8; i++ {
		go func(n int) {
			var x [4]*buffer
			for i := 0; i < n; i += 4 {
				for k := range x {
					x[k] = buffers.Get().(*buffer)
					x[k].used++
				}
				for k := range x {
					buffers.Put(x[k])
				}
			}
			wg.Done()
		}(harness.Share(b.N, i, 8))
	}
	wg.Wait()
}

type config struct {
	limit int64
}

var box atomic.Value

func boxLoad(b *harness.B) {
	var sum int64

	box.Store(new(config))
	for i := 0; i < b.N; i++ {
		sum += box.Load().(*config).limit
	}
	if sum != 0 {
		panic("sum")
	}
}

func cmap(b *harness.B, keys uint64, putEvery int) {
	var m sync.Map
	var wg sync.WaitGroup
	boxed := make([]any, keys)

	for k := range boxed {
		boxed[k] = uint64(k)
		m.Store(boxed[k], boxed[k])
	}
	b.ResetTimer()
	wg.Add(8)
	for i := 0; i < 8; i++ {
		go func(n int) {
			k, left := uint64(n), putEvery
			for i := 0; i < n; i++ {
				k = (k*1103515245 + 12345) & 0x7fffffff
				v := (k >> 8) % keys
				if putEvery != 0 {
					left--
					if left == 0 {
						left = putEvery
						m.Store(boxed[v], v)
						continue
					}
				}
				x, ok := m.Load(boxed[v])
				if !ok || x.(uint64) != v {
					panic("not there")
				}
			}
			wg.Done()
		}(harness.Share(b.N, i, 8))
	}
	wg.Wait()
	b.StopTimer()
}

func main() {
	harness.Main(
		harness.Bench{Name: "rwmutex_read", Fn: func(b *harness.B) { rwmutex(b, 0) }},
		harness.Bench{Name: "rwmutex_writes_1", Fn: func(b *harness.B) { rwmutex(b, 100) }},
		harness.Bench{Name: "rwmutex_writes_5", Fn: func(b *harness.B) { rwmutex(b, 20) }},
		harness.Bench{Name: "rwmutex_writes_20", Fn: func(b *harness.B) { rwmutex(b, 5) }},
		harness.Bench{Name: "rwmutex_writes_50", Fn: func(b *harness.B) { rwmutex(b, 2) }},
		harness.Bench{Name: "mutex_for_all", Fn: mutexForAll},
		harness.Bench{Name: "rwmutex_writer", Fn: writer},
		harness.Bench{Name: "once_done", Fn: onceDone},
		harness.Bench{Name: "sema_uncontended", Fn: sema},
		harness.Bench{Name: "cond_ping_pong", Fn: condPingPong},
		harness.Bench{Name: "pool_get_put", Fn: poolGetPut},
		harness.Bench{Name: "pool_8way", Fn: pool8way},
		harness.Bench{Name: "box_load", Fn: boxLoad},
		harness.Bench{Name: "cmap_read", Fn: func(b *harness.B) { cmap(b, 1000, 0) }},
		harness.Bench{Name: "cmap_read_large", Fn: func(b *harness.B) { cmap(b, 1000000, 0) }},
		harness.Bench{Name: "cmap_mixed", Fn: func(b *harness.B) { cmap(b, 1000, 10) }},
		harness.Bench{Name: "cmap_put", Fn: func(b *harness.B) { cmap(b, 1000, 1) }},
	)
}
