// The twin of bench/select.c, which says what is measured and why the pair is equal.
package main

import (
	"sync"

	"weir/bench/harness"
)

func recv2(c *[8]chan int) int {
	select {
	case v := <-c[0]:
		return v
	case v := <-c[1]:
		return v
	}
}

func recv8(c *[8]chan int) int {
	select {
	case v := <-c[0]:
		return v
	case v := <-c[1]:
		return v
	case v := <-c[2]:
		return v
	case v := <-c[3]:
		return v
	case v := <-c[4]:
		return v
	case v := <-c[5]:
		return v
	case v := <-c[6]:
		return v
	case v := <-c[7]:
		return v
	}
}

type side struct {
	in, out *[8]chan int
	n, k    int
	bad     int
}

// play2 and play8 differ in the select alone: a select statement cannot be a parameter.
func play2(wg *sync.WaitGroup, my *side, first bool) {
	for i := 0; i < my.n; i++ {
		if first {
			my.out[i%my.k] <- i
		}
		if recv2(my.in) != i {
			my.bad++
		}
		if !first {
			my.out[i%my.k] <- i
		}
	}
	wg.Done()
}

func play8(wg *sync.WaitGroup, my *side, first bool) {
	for i := 0; i < my.n; i++ {
		if first {
			my.out[i%my.k] <- i
		}
		if recv8(my.in) != i {
			my.bad++
		}
		if !first {
			my.out[i%my.k] <- i
		}
	}
	wg.Done()
}

func blocking(b *harness.B, k int, play func(*sync.WaitGroup, *side, bool)) {
	var wg sync.WaitGroup
	var there, back [8]chan int

	for i := 0; i < k; i++ {
		there[i], back[i] = make(chan int), make(chan int)
	}
	one := &side{in: &back, out: &there, n: b.N, k: k}
	two := &side{in: &there, out: &back, n: b.N, k: k}
	b.Per = 2

	b.ResetTimer()
	wg.Add(2)
	go play(&wg, two, false)
	go play(&wg, one, true)
	wg.Wait()
	if one.bad != 0 || two.bad != 0 {
		b.Failf("%d values came out of turn", one.bad+two.bad)
	}
}

func selectReady(b *harness.B) {
	one, two := make(chan int, 1), make(chan int, 1)
	one <- 0

	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		select {
		case v := <-one:
			two <- v + 1
		case v := <-two:
			one <- v + 1
		}
	}
	b.StopTimer()

	last := 0
	select {
	case last = <-one:
	case last = <-two:
	}
	if last != b.N {
		b.Failf("%d hand-overs, counted %d", b.N, last)
	}
}

func selectDefault(b *harness.B) {
	c := make(chan int)
	misses := 0

	for i := 0; i < b.N; i++ {
		select {
		case <-c:
		default:
			misses++
		}
	}
	if misses != b.N {
		b.Failf("%d of %d selects found a value nobody sent", b.N-misses, b.N)
	}
}

func main() {
	harness.Main(
		harness.Bench{Name: "select_2_blocking", Fn: func(b *harness.B) { blocking(b, 2, play2) }},
		harness.Bench{Name: "select_8_blocking", Fn: func(b *harness.B) { blocking(b, 8, play8) }},
		harness.Bench{Name: "select_2_ready", Fn: selectReady},
		harness.Bench{Name: "select_default", Fn: selectDefault},
	)
}
