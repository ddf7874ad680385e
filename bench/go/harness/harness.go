// Package harness is the Go twin of bench/bench.c: the same rounds, the same clocks, the same
// options and output, so that what differs between two lines of a table is the runtime alone.
package harness

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"syscall"
	"time"
	"unsafe"
)

// The constants of bench.c; change both or neither.
const (
	roundsPerTarget = 4        // a round takes about this part of -benchtime
	maxN            = 1e9      // no round does more
	touchBytes      = 64 << 20 // fresh memory walked over before the first round
)

// B is handed to a benchmark, which does its subject N times.
type B struct {
	N   int // how often to do it in this round
	Per int // operations in one of N; 1 unless the benchmark sets it

	name      string
	running   bool
	wallStart int64
	cpuStart  int64
	wall, cpu int64
	metrics   []metric
}

type metric struct {
	unit  string
	value float64
}

// A Bench is a named benchmark.
type Bench struct {
	Name string
	Fn   func(b *B)
}

var epoch = time.Now()

// Now is the monotonic clock in nanoseconds: one reading, no wall clock.
func Now() int64 { return int64(time.Since(epoch)) }

func cpuNow() int64 {
	const clockProcessCputimeID = 2
	var ts syscall.Timespec

	_, _, e := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockProcessCputimeID, uintptr(unsafe.Pointer(&ts)), 0)
	if e != 0 {
		fatalf("clock_gettime: %v", e)
	}
	return ts.Nano()
}

// StartTimer goes on counting time; it runs already when the benchmark is called.
func (b *B) StartTimer() {
	if !b.running {
		b.running = true
		b.cpuStart = cpuNow()
		b.wallStart = Now()
	}
}

// StopTimer leaves out what follows.
func (b *B) StopTimer() {
	if b.running {
		b.wall += Now() - b.wallStart
		b.cpu += cpuNow() - b.cpuStart
		b.running = false
	}
}

// ResetTimer forgets the time counted so far: the set-up is over.
func (b *B) ResetTimer() {
	b.wall, b.cpu = 0, 0
	if b.running {
		b.running = false
		b.StartTimer()
	}
}

// Metric reports a further value for this round; the unit "ns/op" replaces the measured one.
func (b *B) Metric(value float64, unit string) {
	b.metrics = append(b.metrics, metric{unit, value})
}

// Failf ends the program: the benchmark computed something wrong.
func (b *B) Failf(format string, args ...any) {
	fmt.Printf("--- FAIL: %s: %s\n", b.name, fmt.Sprintf(format, args...))
	os.Exit(1)
}

// Percentile sorts v and returns the value below which the given share of it lies.
func Percentile(v []int64, share float64) int64 {
	if len(v) == 0 {
		return 0
	}
	sort.Slice(v, func(i, j int) bool { return v[i] < v[j] })
	return v[int(share*float64(len(v)-1))]
}

// Share is the part of n that worker i of k does; the parts add up to n.
func Share(n, i, k int) int {
	if i < n%k {
		return n/k + 1
	}
	return n / k
}

func fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, filepath.Base(os.Args[0])+": "+format+"\n", args...)
	os.Exit(2)
}

// touchMemory makes the kernel and the host behind it back the pages that the rounds will ask
// for; they stay warm for the seconds a run takes.
func touchMemory() {
	m, err := syscall.Mmap(-1, 0, touchBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return
	}
	syscall.Madvise(m, syscall.MADV_HUGEPAGE)
	for i := 0; i < len(m); i += 4096 {
		m[i] = 1
	}
	syscall.Munmap(m)
}

func round(x Bench, n int) *B {
	b := &B{N: n, Per: 1, name: x.Name}

	runtime.GC() // as testing.B does: no round pays for the garbage of the last
	b.StartTimer()
	x.Fn(b)
	b.StopTimer()
	return b
}

// calibrate returns the n of a round of the wanted length. Its last round was a full one: it is
// the warm-up that nobody counts.
func calibrate(x Bench, want int64) int {
	n := 1
	for {
		took := round(x, n).wall
		if took >= want || n >= maxN {
			return n
		}
		next := 1.2 * float64(n) * float64(want) / math.Max(float64(took), 1)
		next = math.Min(math.Max(next, float64(n)+1), float64(n)*100)
		n = int(math.Min(next, maxN))
	}
}

func measure(x Bench, target time.Duration) {
	var ops, wall, cpu, rounds int64
	var sums []metric

	touchMemory()
	n := calibrate(x, int64(target)/roundsPerTarget)
	for wall < int64(target) {
		b := round(x, n)
		ops += int64(b.N) * int64(b.Per)
		wall += b.wall
		cpu += b.cpu
		rounds++
		for i, m := range b.metrics {
			if i == len(sums) {
				sums = append(sums, metric{m.unit, 0})
			}
			sums[i].value += m.value
		}
		if b.wall <= 0 {
			b.Failf("a round of %d took no time", b.N)
		}
	}

	ns := float64(wall) / float64(ops)
	for _, m := range sums {
		if m.unit == "ns/op" {
			ns = m.value / float64(rounds)
		}
	}
	fmt.Printf("Benchmark%c%s-%d\t%10d\t%12.2f ns/op\t%12.2f cpu-ns/op",
		x.Name[0]-'a'+'A', x.Name[1:], runtime.GOMAXPROCS(0), ops, ns, float64(cpu)/float64(ops))
	for _, m := range sums {
		if m.unit != "ns/op" {
			fmt.Printf("\t%12.2f %s", m.value/float64(rounds), m.unit)
		}
	}
	fmt.Println()
}

// Main is the main program of a file of benchmarks.
func Main(benches ...Bench) {
	pattern := flag.String("bench", ".", "run the benchmarks whose name matches this regular expression")
	target := flag.Duration("benchtime", 400*time.Millisecond, "measure for about this long")
	list := flag.Bool("list", false, "print the names and exit")
	flag.Parse()

	re, err := regexp.CompilePOSIX(*pattern)
	if err != nil {
		fatalf("-bench: %v", err)
	}
	if *target <= 0 {
		fatalf("-benchtime: %v is not a length of time", *target)
	}
	if flag.NArg() > 0 {
		fatalf("what is %q?", flag.Arg(0))
	}

	found := false
	for _, x := range benches {
		if !re.MatchString(x.Name) {
			continue
		}
		if !found && !*list {
			fmt.Printf("pkg: weir/bench/%s\n", filepath.Base(os.Args[0]))
		}
		found = true
		if *list {
			fmt.Println(x.Name)
		} else {
			measure(x, *target)
		}
	}
	if !found {
		fatalf("no benchmark matches %q", *pattern)
	}
}
