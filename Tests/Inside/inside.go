// SPDX-License-Identifier: Apache-2.0
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

// Go: goroutines on all processors, its collector, signals, children, a server on the loopback.
func main() {
	var group sync.WaitGroup
	sums := make([]int, 64)
	for n := range sums {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			for i := 0; i < 100000; i++ {
				sums[n] += len(make([]byte, i%64))
			}
		}(n)
	}
	group.Wait()
	runtime.GC()

	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	check(syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	<-told
	out, err := exec.Command("sh", "-c", "echo out").Output()
	check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	answer, err := http.Get("http://" + listener.Addr().String() + "/path")
	check(err)
	body, err := io.ReadAll(answer.Body)
	check(err)
	if string(out) != "out\n" || string(body) != "/path" {
		panic("wrong")
	}
	fmt.Println("DONE")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
