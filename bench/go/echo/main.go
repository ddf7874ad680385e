// The twin of bench/echo.c, which says what is measured and why the pair is equal.
package main

import (
	"io"
	"net"
	"sync"

	"weir/bench/harness"
)

const (
	clients = 64
	message = 64
)

func serve(wg *sync.WaitGroup, conn net.Conn) {
	var buf [4096]byte

	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			break
		}
		if _, err = conn.Write(buf[:n]); err != nil {
			break
		}
	}
	conn.Close()
	wg.Done()
}

func accept(wg *sync.WaitGroup, ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			break
		}
		wg.Add(1)
		go serve(wg, conn)
	}
	wg.Done()
}

type client struct {
	conn net.Conn
	took []int64 // one latency per message
	err  error
}

func talk(wg *sync.WaitGroup, c *client, id int) {
	var out, in [message]byte
	before := harness.Now()

	for i := range c.took {
		out[0], out[1], out[message-1] = byte(id), byte(i), byte(i>>8)
		if _, c.err = c.conn.Write(out[:]); c.err != nil {
			break
		}
		if _, c.err = io.ReadFull(c.conn, in[:]); c.err != nil {
			break
		}
		if in != out {
			c.err = io.ErrNoProgress
			break
		}
		now := harness.Now()
		c.took[i] = now - before
		before = now
	}
	wg.Done()
}

func echo(b *harness.B) {
	var servers, talkers sync.WaitGroup
	var all [clients]client
	took := make([]int64, b.N)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Failf("listen: %v", err)
	}
	servers.Add(1)
	go accept(&servers, ln)

	rest := took
	for i := range all {
		n := harness.Share(b.N, i, clients)
		all[i].took, rest = rest[:n], rest[n:]
		if all[i].conn, err = net.Dial("tcp", ln.Addr().String()); err != nil {
			b.Failf("dial: %v", err)
		}
	}

	b.ResetTimer()
	talkers.Add(clients)
	for i := range all {
		go talk(&talkers, &all[i], i)
	}
	talkers.Wait()
	b.StopTimer()

	for i := range all {
		if all[i].err != nil {
			b.Failf("client %d: %v", i, all[i].err)
		}
		all[i].conn.Close()
	}
	ln.Close()
	servers.Wait()
	b.Metric(float64(harness.Percentile(took, 0.99)), "p99-ns")
}

func main() {
	harness.Main(harness.Bench{Name: "tcp_echo_64x64", Fn: echo})
}
