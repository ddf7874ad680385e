// The twin of bench/mem.c, which says what is measured and why the pair is equal.
package main

import (
	"weir/bench/harness"
)

type noscan16 struct{ a, b uint64 }
type noscan64 struct{ a [8]uint64 }
type plain64 struct {
	a uint64
	p *plain64
	b [6]uint64
}

var (
	sink16 *noscan16
	sink64 *noscan64
	sinkP  *plain64
)

func noscan16Bench(b *harness.B) {
	for i := 0; i < b.N; i++ {
		p := new(noscan16)
		p.a = uint64(i)
		sink16 = p
	}
}

func noscan64Bench(b *harness.B) {
	for i := 0; i < b.N; i++ {
		p := new(noscan64)
		p.a[0] = uint64(i)
		sink64 = p
	}
}

func plain64Bench(b *harness.B) {
	for i := 0; i < b.N; i++ {
		p := new(plain64)
		p.a = uint64(i)
		sinkP = p
	}
}

func main() {
	harness.Main(
		harness.Bench{Name: "noscan_16", Fn: noscan16Bench},
		harness.Bench{Name: "noscan_64", Fn: noscan64Bench},
		harness.Bench{Name: "plain_64", Fn: plain64Bench},
	)
}
