// The twin of bench/gc.c, which says what is measured and why the pair is equal.
package main

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/harness"
)

const (
	depth = 20
	least = 4
)

type node struct {
	left, right *node
}

func bottomUp(depth int) *node {
	n := new(node)
	if depth > 0 {
		n.left = bottomUp(depth - 1)
		n.right = bottomUp(depth - 1)
	}
	return n
}

func (n *node) count() int64 {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.count() + n.right.count()
}

func binaryTrees20(b *harness.B) {
	for i := 0; i < b.N; i++ {
		if bottomUp(depth+1).count() != 2<<(depth+1)-1 {
			b.Failf("the stretched tree is not whole")
		}
		lasting := bottomUp(depth)
		for d := least; d <= depth; d += 2 {
			trees := int64(1) << (depth - d + least)
			nodes := int64(0)
			for k := int64(0); k < trees; k++ {
				nodes += bottomUp(d).count()
			}
			if nodes != trees*(2<<d-1) {
				b.Failf("trees of depth %d are not whole", d)
			}
		}
		if lasting.count() != 2<<depth-1 {
			b.Failf("the lasting tree is not whole")
		}
	}
}

const (
	liveDepth   = 24
	requestSize = 1 << 20
	itemSize    = 64
	samples     = 1 << 16
)

type item struct {
	left, right *item
	value       [6]uint64
}

var live *item

func itemTree(depth int) *item {
	n := new(item)
	if depth > 0 {
		n.left = itemTree(depth - 1)
		n.right = itemTree(depth - 1)
	}
	return n
}

func request(seed uint64) uint64 {
	var list *item
	sum := uint64(0)
	for i := 0; i < requestSize/itemSize; i++ {
		n := new(item)
		n.left = list
		n.value[0] = uint64(i)
		list = n
	}
	for n := live; n != nil; seed /= 2 {
		sum += n.value[0]
		if seed&1 != 0 {
			n = n.left
		} else {
			n = n.right
		}
	}
	for ; list != nil; list = list.left {
		sum += list.value[0]
	}
	return sum
}

func requests2g(b *harness.B) {
	if live == nil {
		live = itemTree(liveDepth)
		runtime.GC()
	}
	percent := debug.SetGCPercent(10)
	var before debug.GCStats
	debug.ReadGCStats(&before)
	took := make([]int64, 0, samples)
	sum := uint64(0)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		begin := time.Now()
		sum += request(uint64(i) * 2654435761)
		if len(took) < samples {
			took = append(took, int64(time.Since(begin)))
		}
	}
	b.StopTimer()
	debug.SetGCPercent(percent)
	if sum == 0 {
		b.Failf("nothing was seen")
	}
	b.Metric(float64(harness.Percentile(took, 0.999)), "p999-ns")
	var after debug.GCStats
	debug.ReadGCStats(&after)
	longest := time.Duration(0)
	for i := int64(0); i < after.NumGC-before.NumGC && i < int64(len(after.Pause)); i++ {
		if after.Pause[i] > longest {
			longest = after.Pause[i]
		}
	}
	b.Metric(float64(longest), "stop-max-ns")
}

// ---- the barrier ----

const (
	slots = 8
	block = 1024
)

//go:noinline
func store(to *[slots]*item, a, b *item) {
	for i := 0; i < block/slots; i++ {
		v := b
		if i&1 != 0 {
			v = a
		}
		for k := 0; k < slots; k++ {
			to[k].left = v
		}
	}
}

func targets() (to *[slots]*item, a, b *item) {
	to = new([slots]*item)
	for k := range to {
		to[k] = new(item)
	}
	return to, new(item), new(item)
}

func barrierOff(b *harness.B) {
	to, x, y := targets()
	b.Per = block
	for i := 0; i < b.N; i++ {
		store(to, x, y)
	}
}

var other *item

// Go tells nobody whether its barrier is on: collections follow each other, so most of the time it is.
func barrierOn(b *harness.B) {
	to, x, y := targets()
	if other == nil {
		other = itemTree(21)
	}
	var stop atomic.Bool
	done := make(chan bool)
	go func() {
		for !stop.Load() {
			runtime.GC()
		}
		close(done)
	}()
	b.Per = block
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		store(to, x, y)
	}
	b.StopTimer()
	stop.Store(true)
	<-done
}

// ---- cycles ----

func cycleParked1m(b *harness.B) {
	const parked = 1000000
	c := make(chan int)
	var wg sync.WaitGroup
	wg.Add(parked)
	for i := 0; i < parked; i++ {
		go func() {
			<-c
			wg.Done()
		}()
	}
	runtime.Gosched()
	runtime.GC()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		runtime.GC()
	}
	b.StopTimer()
	close(c)
	wg.Wait()
}

var smallLive *item

func cycles(b *harness.B, blocks int) {
	if smallLive == nil {
		smallLive = itemTree(19)
	}
	cache := make([][]byte, blocks)
	for i := range cache {
		cache[i] = make([]byte, 4096)
		for k := range cache[i] {
			cache[i][k] = byte(1 + i%100)
		}
	}
	runtime.GC()
	runtime.GC()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		runtime.GC()
	}
	b.StopTimer()
	runtime.KeepAlive(cache)
}

func cycle64m(b *harness.B)      { cycles(b, 0) }
func cycle64mCache(b *harness.B) { cycles(b, 1<<18) }

// Go knows of bytes that they hold no pointers: the same as what C has to say.
func cycle64mPlain(b *harness.B) { cycles(b, 1<<18) }

// ---- stops beside stores ----

type old struct {
	to   *old
	rest [7]uint64
}

func stores100m(b *harness.B) {
	const n = 1 << 20
	all := make([]*old, n)
	for i := range all {
		all[i] = new(old)
	}
	runtime.GC()
	var stop atomic.Bool
	done := make(chan bool)
	go func() {
		s := uint64(1)
		for !stop.Load() {
			for i := 0; i < 100*1000/64; i++ {
				s = s*6364136223846793005 + 1442695040888963407
				all[(s>>40)%n].to = all[(s>>20)%n]
			}
			time.Sleep(time.Millisecond)
		}
		close(done)
	}()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		runtime.GC()
	}
	b.StopTimer()
	stop.Store(true)
	<-done
	var st debug.GCStats
	debug.ReadGCStats(&st)
	stops := []int64{}
	for i := 0; i < b.N && i < len(st.Pause); i++ {
		stops = append(stops, int64(st.Pause[i]))
	}
	b.Metric(float64(harness.Percentile(stops, 0.99)), "stop-p99-ns")
	b.Metric(float64(harness.Percentile(stops, 1)), "stop-max-ns")
}

func main() {
	harness.Main(
		harness.Bench{Name: "binary_trees_20", Fn: binaryTrees20},
		harness.Bench{Name: "requests_2g", Fn: requests2g},
		harness.Bench{Name: "barrier_off", Fn: barrierOff},
		harness.Bench{Name: "barrier_on", Fn: barrierOn},
		harness.Bench{Name: "cycle_parked_1m", Fn: cycleParked1m},
		harness.Bench{Name: "cycle_64m", Fn: cycle64m},
		harness.Bench{Name: "cycle_64m_cache", Fn: cycle64mCache},
		harness.Bench{Name: "cycle_64m_plain", Fn: cycle64mPlain},
		harness.Bench{Name: "stores_100m", Fn: stores100m})
}
