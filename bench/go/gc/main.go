// The twin of bench/gc.c, which says what is measured and why the pair is equal.
package main

import (
	"runtime"
	"runtime/debug"
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
	liveDepth   = 23
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

func requests1g(b *harness.B) {
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

func main() {
	harness.Main(
		harness.Bench{Name: "binary_trees_20", Fn: binaryTrees20},
		harness.Bench{Name: "requests_1g", Fn: requests1g})
}
