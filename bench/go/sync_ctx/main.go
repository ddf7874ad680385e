// The twin of bench/sync_ctx.c, which says what is measured and why the pair is equal.
package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"weir/bench/harness"
)

const (
	descendants = 100000
	chain       = 10
	levels      = 16
	members     = 100
)

// ---- errgroup, as in x/sync ----

type group struct {
	cancel  func(error)
	wg      sync.WaitGroup
	sem     chan struct{}
	errOnce sync.Once
	err     error
}

func newGroup() (*group, context.Context) {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &group{cancel: cancel}, ctx
}

func (g *group) setLimit(n int) {
	g.sem = make(chan struct{}, n)
}

func (g *group) done() {
	if g.sem != nil {
		<-g.sem
	}
	g.wg.Done()
}

func (g *group) Go(f func() error) {
	if g.sem != nil {
		g.sem <- struct{}{}
	}
	g.wg.Add(1)
	go func() {
		defer g.done()
		if err := f(); err != nil {
			g.errOnce.Do(func() {
				g.err = err
				if g.cancel != nil {
					g.cancel(g.err)
				}
			})
		}
	}()
}

func (g *group) wait() error {
	g.wg.Wait()
	if g.cancel != nil {
		g.cancel(g.err)
	}
	return g.err
}

// ---- singleflight, as in x/sync ----

type call struct {
	wg   sync.WaitGroup
	val  any
	err  error
	dups int
}

type flight struct {
	mu sync.Mutex
	m  map[string]*call
}

type panicError struct{ value any }

func (f *flight) do(key string, fn func() (any, error)) (any, error, bool) {
	f.mu.Lock()
	if f.m == nil {
		f.m = make(map[string]*call)
	}
	if c, ok := f.m[key]; ok {
		c.dups++
		f.mu.Unlock()
		c.wg.Wait()
		if e, ok := c.err.(*panicError); ok {
			panic(e)
		}
		return c.val, c.err, true
	}
	c := new(call)
	c.wg.Add(1)
	f.m[key] = c
	f.mu.Unlock()

	f.doCall(c, key, fn)
	return c.val, c.err, c.dups > 0
}

func (e *panicError) Error() string { return fmt.Sprint(e.value) }

func (f *flight) doCall(c *call, key string, fn func() (any, error)) {
	normal, recovered := false, false

	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		c.wg.Done()
		if f.m[key] == c {
			delete(f.m, key)
		}
		if e, ok := c.err.(*panicError); ok && recovered {
			panic(e)
		}
	}()
	func() {
		defer func() {
			if !normal {
				if r := recover(); r != nil {
					c.err = &panicError{r}
				}
			}
		}()
		c.val, c.err = fn()
		normal = true
	}()
	if !normal {
		recovered = true
	}
}

// ---- contexts ----

func cancelOne(b *harness.B) {
	top, cancelTop := context.WithCancel(context.Background())

	for i := 0; i < b.N; i++ {
		_, cancel := context.WithCancel(top)
		cancel()
	}
	cancelTop()
}

func timeoutOne(b *harness.B) {
	top, cancelTop := context.WithCancel(context.Background())

	for i := 0; i < b.N; i++ {
		_, cancel := context.WithTimeout(top, 1000*time.Second)
		cancel()
	}
	cancelTop()
}

func ctxErr(b *harness.B) {
	c := context.Background()
	ended := 0

	for i := 0; i < 5; i++ {
		next, cancel := context.WithCancel(c)
		defer cancel()
		c = next
	}
	for i := 0; i < b.N; i++ {
		if c.Err() != nil {
			ended++
		}
	}
	if ended != 0 {
		b.Failf("it ended")
	}
}

type key int

func value(b *harness.B) {
	c := context.Background()
	sum := 0

	for i := 0; i < levels; i++ {
		c = context.WithValue(c, key(i), i)
	}
	b.Per = levels
	for i := 0; i < b.N; i++ {
		if c.Value(key(0)) == 0 {
			sum++
		}
	}
	if sum != b.N {
		b.Failf("not found")
	}
}

func descend(top context.Context) []context.Context {
	all := make([]context.Context, descendants)

	for k := range all {
		parent := top
		if k%chain != 0 {
			parent = all[k-1]
		}
		all[k], _ = context.WithCancel(parent)
	}
	return all
}

func cancelMany(b *harness.B) {
	for i := 0; i < b.N; i++ {
		top, cancel := context.WithCancel(context.Background())

		b.StopTimer()
		all := descend(top)
		b.StartTimer()
		cancel()
		for k := range all {
			if all[k].Err() == nil {
				b.Failf("one goes on")
			}
		}
	}
}

func cancelWaited(b *harness.B) {
	var cancelling time.Duration

	for i := 0; i < b.N; i++ {
		var started, ended sync.WaitGroup
		top, cancel := context.WithCancel(context.Background())

		b.StopTimer()
		all := descend(top)
		started.Add(descendants)
		ended.Add(descendants)
		for k := range all {
			go func(c context.Context) {
				started.Done()
				<-c.Done()
				ended.Done()
			}(all[k])
		}
		started.Wait()
		for k := 0; k < 100; k++ {
			runtime.Gosched()
		}
		b.StartTimer()
		start := time.Now()
		cancel()
		cancelling += time.Since(start)
		ended.Wait()
	}
	b.Metric(float64(cancelling)/float64(b.N), "cancel-ns")
}

func ctxSelect(b *harness.B) {
	top, cancelTop := context.WithCancel(context.Background())
	c, cancel := context.WithCancel(top)
	ask, reply := make(chan int64), make(chan int64)

	go func() {
		for v := range ask {
			reply <- v
		}
	}()
	for i := 0; i < b.N; i++ {
		ask <- int64(i)
		select {
		case <-reply:
		case <-c.Done():
			b.Failf("done")
		}
	}
	close(ask)
	cancel()
	cancelTop()
}

// ---- groups and flights ----

func groups(b *harness.B, limit int) {
	for left := b.N; left > 0; left -= members {
		g, _ := newGroup()
		if limit > 0 {
			g.setLimit(limit)
		}
		for i := 0; i < members && i < left; i++ {
			g.Go(func() error { return nil })
		}
		if g.wait() != nil {
			b.Failf("an error")
		}
	}
}

func flightAlone(b *harness.B) {
	var f flight
	var buf [8]byte

	for i := 0; i < b.N; i++ {
		for k := range buf {
			buf[k] = byte(i >> (8 * k))
		}
		v, err, _ := f.do(string(buf[:]), func() (any, error) { return b, nil })
		if err != nil || v != b {
			b.Failf("another value")
		}
	}
}

func flightShared(b *harness.B) {
	var f flight
	var wg sync.WaitGroup

	wg.Add(8)
	for i := 0; i < 8; i++ {
		go func(n int) {
			for k := 0; k < n; k++ {
				f.do("12345678", func() (any, error) { return b, nil })
			}
			wg.Done()
		}(harness.Share(b.N, i, 8))
	}
	wg.Wait()
}

func main() {
	harness.Main(
		harness.Bench{Name: "ctx_cancel_one", Fn: cancelOne},
		harness.Bench{Name: "ctx_timeout_one", Fn: timeoutOne},
		harness.Bench{Name: "ctx_err", Fn: ctxErr},
		harness.Bench{Name: "ctx_value_16", Fn: value},
		harness.Bench{Name: "ctx_cancel_100k", Fn: cancelMany},
		harness.Bench{Name: "ctx_cancel_100k_waited", Fn: cancelWaited},
		harness.Bench{Name: "ctx_select", Fn: ctxSelect},
		harness.Bench{Name: "group", Fn: func(b *harness.B) { groups(b, 0) }},
		harness.Bench{Name: "group_limit", Fn: func(b *harness.B) { groups(b, 4) }},
		harness.Bench{Name: "flight_alone", Fn: flightAlone},
		harness.Bench{Name: "flight_shared", Fn: flightShared},
	)
}
