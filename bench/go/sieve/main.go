// The twin of bench/sieve.c, which says what is measured and why the pair is equal.
package main

import "weir/bench/harness"

const (
	primes = 4000
	last   = 37813 // the 4000th prime
)

func generate(out chan int, upto int) {
	for i := 2; i <= upto; i++ {
		out <- i
	}
	close(out)
}

func filter(in, out chan int, prime int) {
	for v := range in {
		if v%prime != 0 {
			out <- v
		}
	}
	close(out)
}

func sieve(b *harness.B) {
	for i := 0; i < b.N; i++ {
		found, greatest := 0, 0
		c := make(chan int)

		go generate(c, last)
		for {
			prime, open := <-c
			if !open {
				break
			}
			next := make(chan int)

			go filter(c, next, prime)
			c = next
			greatest = prime
			found++
		}
		if found != primes || greatest != last {
			b.Failf("%d primes up to %d", found, greatest)
		}
	}
}

func main() {
	harness.Main(harness.Bench{Name: "sieve_4000", Fn: sieve})
}
