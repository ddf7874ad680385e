// The twin of bench/http_hello.c, which says what is measured and why the pair is equal.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
)

var (
	body        = []byte("Hello, World!\n")
	contentType = []string{"text/plain; charset=utf-8"}
)

func hello(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = contentType
	w.Write(body)
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "address to serve on")
	flag.Parse()

	ln, err := net.Listen("tcp", *address)
	if err != nil {
		fmt.Fprintf(os.Stderr, "http_hello: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", ln.Addr())

	server := http.Server{Handler: http.HandlerFunc(hello)}
	fmt.Fprintf(os.Stderr, "http_hello: %v\n", server.Serve(ln))
	os.Exit(1)
}
