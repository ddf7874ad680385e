// The twin of bench/skynet.c, which says what is measured and why the pair is equal.
package main

import "weir/bench/harness"

const (
	leaves = 1000000
	fanOut = 10
)

func node(out chan int, num, size int) {
	if size == 1 {
		out <- num
		return
	}

	in := make(chan int)
	step := size / fanOut
	sum := 0

	for i := 0; i < fanOut; i++ {
		go node(in, num+i*step, step)
	}
	for i := 0; i < fanOut; i++ {
		sum += <-in
	}
	out <- sum
}

func skynet(b *harness.B) {
	for i := 0; i < b.N; i++ {
		c := make(chan int)

		go node(c, 0, leaves)
		if sum := <-c; sum != leaves/2*(leaves-1) {
			b.Failf("the leaves add up to %d", sum)
		}
	}
}

func main() {
	harness.Main(harness.Bench{Name: "skynet_1m", Fn: skynet})
}
