// The twin of bench/chan.c, which says what is measured and why the pair is equal.
package main

import (
	"sync"

	"weir/bench/harness"
)

const capacity = 128

func pong(ping, pong chan int) {
	for v := range ping {
		pong <- v
	}
	close(pong)
}

func unbufferedPingPong(b *harness.B) {
	out, back := make(chan int), make(chan int)

	go pong(out, back)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		out <- i
		if v := <-back; v != i {
			b.Failf("sent %d, received %d", i, v)
		}
	}
	b.StopTimer()
	close(out)
	<-back
}

func produce(wg *sync.WaitGroup, c chan int, n int) {
	for i := 0; i < n; i++ {
		c <- i
	}
	wg.Done()
}

func consume(wg *sync.WaitGroup, c chan int, ret *int) {
	sum := 0
	for v := range c {
		sum += v
	}
	*ret = sum
	wg.Done()
}

func buffered(b *harness.B, k int) {
	var producers, consumers sync.WaitGroup
	c := make(chan int, capacity)
	sums := make([]int, k)
	want, got := 0, 0

	producers.Add(k)
	consumers.Add(k)
	for i := 0; i < k; i++ {
		n := harness.Share(b.N, i, k)
		want += n * (n - 1) / 2
		go consume(&consumers, c, &sums[i])
		go produce(&producers, c, n)
	}
	producers.Wait()
	close(c)
	consumers.Wait()

	for _, sum := range sums {
		got += sum
	}
	if got != want {
		b.Failf("the items add up to %d, not %d", got, want)
	}
}

func main() {
	harness.Main(
		harness.Bench{Name: "unbuffered_ping_pong", Fn: unbufferedPingPong},
		harness.Bench{Name: "buffered_1_1", Fn: func(b *harness.B) { buffered(b, 1) }},
		harness.Bench{Name: "buffered_4_4", Fn: func(b *harness.B) { buffered(b, 4) }},
	)
}
