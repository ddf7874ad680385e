// The twin of bench/gc.c, which says what is measured and why the pair is equal.
package main

import "weir/bench/harness"

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

func main() {
	harness.Main(harness.Bench{Name: "binary_trees_20", Fn: binaryTrees20})
}
